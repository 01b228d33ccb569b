//! Countries by ISO 3166-1 alpha-2, wherever one is named: accounts, markings, content, cards.

/// ISO 3166-1 alpha-2, the 249 officially assigned codes.
const COUNTRIES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZ\
CACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGN\
GPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULV\
LYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPT\
PWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUS\
UYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

/// Kosovo: a code that ISO 3166 leaves to its users, and that agencies of the European Union use.
const KOSOVO: &str = "XK";

/// Returns true for the code of a country: two capital letters that ISO 3166 assigns.
pub fn is_country(code: &str) -> bool {
    let (assigned, _) = COUNTRIES.as_bytes().as_chunks::<2>();
    let is_assigned = |code: &[u8; 2]| assigned.binary_search(code).is_ok();
    code.as_bytes().try_into().is_ok_and(is_assigned) || code == KOSOVO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_countries_are_249_in_ascending_order() {
        let codes: Vec<_> = COUNTRIES.as_bytes().chunks(2).collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_code_that_iso_3166_does_not_assign_is_not_a_country() {
        for code in ["JP", "FR", "IN", "GB", "GR", "XK", "ZW"] {
            assert!(is_country(code), "{code}");
        }
        // Two of one code and the beginning of the next; codes of other lists; other forms.
        for code in ["UK", "EU", "EL", "ZZ", "XX", "DA", "jp", "JPN", "J", "", "J\u{50}\u{301}"] {
            assert!(!is_country(code), "{code:?}");
        }
    }
}
