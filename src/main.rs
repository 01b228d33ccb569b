//! Parse, run, exit code.

use std::process::ExitCode;

use liaison::cli::{self, Cli, error::CliError};
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;
use zeroizing_alloc::ZeroAlloc;

/// A node makes and drops many small buffers on many threads; a fifth of its time went into the
/// system's allocator. What is given back is overwritten first: an erased text must not outlive its
/// buffers, whoever owned them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

/// The variable that selects the log lines on stderr, in the form of `RUST_LOG`; only warnings
/// without it.
const LOG_VARIABLE: &str = "LIAISON_LOG";

fn main() -> ExitCode {
    let cli = Cli::read();
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(cli::run(cli));
            // A thread that waits for stdin must not keep the process.
            runtime.shutdown_background();
            exit.into()
        }
        Err(source) => cli::fail(&cli.global, &CliError::Output { source }).into(),
    }
}

fn start_log() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
