//! Times of work, and its errors, for all measurements.

use crate::cli::error::{CliError, Exit, Source};
use std::time::Duration;

/// Runs what keeps a processor busy where it holds up nothing else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    tokio::task::spawn_blocking(work).await.map_err(failed("a measurement did not end"))?
}

/// For `map_err`: what did not work while measuring.
pub(super) fn failed<E: Into<Source>>(doing: &'static str) -> impl FnOnce(E) -> CliError {
    move |source| CliError::Other {
        doing: doing.to_owned(),
        exit: Exit::Failed,
        fix: "run it again; if it fails again, report it".to_owned(),
        source: source.into(),
    }
}

pub(super) fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(f64::EPSILON)
}

pub(super) fn micros_each(count: usize, time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / (count.max(1) as f64)
}

/// The time of the round in the middle; one slow round of a busy machine does not count.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
