//! The agreement with a partner, as policy sees it.
//!
//! Sector, country, circles and operations are what this agency's own people agreed, as the journal
//! holds it. A partner's card proposes sector and country; it is not read here, so that no card
//! decides what its agency is shown.

use std::collections::BTreeMap;

use super::facts::{Country, CountryError, PartnerFacts, Sector};
use crate::ident::{AgencyName, IdentError, Timestamp};
use crate::pb;

/// A fault in what was agreed with a partner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    #[error("sector: missing; set police, cert, vendor, prosecutor, regulator or other")]
    Sector,
    #[error("country: {0}")]
    Country(#[from] CountryError),
    #[error("agreement_until_ms: {0}")]
    Until(IdentError),
}

impl Sector {
    /// Returns the sector of a wire value; `None` for an unspecified one.
    pub const fn from_wire(wire: pb::Sector) -> Option<Self> {
        match wire {
            pb::Sector::Police => Some(Self::Police),
            pb::Sector::Cert => Some(Self::Cert),
            pb::Sector::Vendor => Some(Self::Vendor),
            pb::Sector::Prosecutor => Some(Self::Prosecutor),
            pb::Sector::Regulator => Some(Self::Regulator),
            pb::Sector::Other => Some(Self::Other),
            pb::Sector::Unspecified => None,
        }
    }
}

impl From<Sector> for pb::Sector {
    fn from(sector: Sector) -> Self {
        match sector {
            Sector::Police => Self::Police,
            Sector::Cert => Self::Cert,
            Sector::Vendor => Self::Vendor,
            Sector::Prosecutor => Self::Prosecutor,
            Sector::Regulator => Self::Regulator,
            Sector::Other => Self::Other,
        }
    }
}

/// Returns the sector, the country and the end that were agreed.
///
/// # Errors
/// One of them is missing or malformed.
pub fn check_agreement(
    agreed: &pb::PartnerFacts,
) -> Result<(Sector, Country, Timestamp), AgreementError> {
    let until = match agreed.agreement_until_ms {
        0 => Timestamp::MAX,
        ms => Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
            .map_err(AgreementError::Until)?,
    };
    let sector = Sector::from_wire(agreed.sector()).ok_or(AgreementError::Sector)?;
    Ok((sector, agreed.country.parse()?, until))
}

impl PartnerFacts {
    /// Returns the facts of a partner with which this was agreed. An agreement without an end ends at
    /// the last time that there is.
    ///
    /// # Errors
    /// Sector or country are missing, or the end is not a time from 2000 to 2100.
    pub fn agreed(
        agency: AgencyName,
        agreed: &pb::PartnerFacts,
        is_active: bool,
    ) -> Result<Self, AgreementError> {
        let (sector, country, agreement_until) = check_agreement(agreed)?;
        // Destructured without `..`: what else is agreed breaks the build here.
        let pb::PartnerFacts {
            client,
            agreement_until_ms: _,
            circles,
            operations,
            sector: _,
            country: _,
        } = agreed;
        Ok(Self {
            agency,
            sector,
            country,
            client: *client,
            suspended: !is_active,
            agreement_until,
            circles: circles.clone(),
            operations: operations.clone(),
            tags: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(
        sector: pb::Sector,
        country: &str,
        until: u64,
    ) -> Result<PartnerFacts, AgreementError> {
        let agreed = pb::PartnerFacts {
            sector: sector.into(),
            country: country.to_owned(),
            agreement_until_ms: until,
            circles: vec!["desk".to_owned()],
            ..pb::PartnerFacts::default()
        };
        PartnerFacts::agreed("cert.example".parse().unwrap(), &agreed, false)
    }

    #[test]
    fn policy_sees_the_sector_and_country_that_were_agreed() {
        let facts = agreed(pb::Sector::Cert, "JP", 0).unwrap();
        assert_eq!((facts.sector, facts.country.as_str()), (Sector::Cert, "JP"));
        assert_eq!(facts.agreement_until, Timestamp::MAX);
        assert!(facts.suspended && facts.circles == ["desk"]);
    }

    #[test]
    fn an_agreement_without_sector_or_country_is_refused() {
        assert_eq!(agreed(pb::Sector::Unspecified, "JP", 0), Err(AgreementError::Sector));
        let country = agreed(pb::Sector::Cert, "", 0);
        assert!(matches!(country, Err(AgreementError::Country(_))), "{country:?}");
        let until = agreed(pb::Sector::Cert, "JP", u64::MAX);
        assert!(matches!(until, Err(AgreementError::Until(_))), "{until:?}");
    }

    #[test]
    fn a_sector_survives_its_wire_form() {
        for sector in Sector::ALL {
            assert_eq!(Sector::from_wire(sector.into()), Some(sector));
        }
    }
}
