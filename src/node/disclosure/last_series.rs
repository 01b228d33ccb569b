//! The last series that was decided, for the next of its revisions.

use crate::exchange::SeriesVerdict;
use crate::ident::{AgencyName, SeriesId};

/// A series, whose id another agency may have copied.
type SeriesKey = (SeriesId, AgencyName);

/// The last series that was decided: its revisions are asked about one after the other.
pub(super) type LastSeries = Option<(SeriesKey, SeriesVerdict)>;
