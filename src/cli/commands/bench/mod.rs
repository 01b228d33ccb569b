//! `liaison bench`: what this machine does with records, beside what it could do at most.
//!
//! Every figure is measured in this run and stands beside its limit, measured in the same run on
//! the same disk and processor. Nothing is taken from an earlier run or another machine.

mod appends;
mod audits;
mod erasures;
mod explains;
mod figures;
mod floods;
mod memory;
mod pair;
mod policies;
mod rescans;
mod signatures;
mod timing;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::interrupt;
use clap::Args;
use figures::{Figure, Figures};
use pair::Pair;
use std::path::{Path, PathBuf};
use timing::blocking;

const EXAMPLES: &str = "\
Examples:
  liaison bench
  liaison bench --dir /var/lib/liaison-bench -o json
  liaison bench --records 100000 --million --engine fjall
  liaison bench --audit --records 1000000
  liaison bench --policy --records 1000000 --partners 20
  liaison bench --erasure --records 1000000
  liaison bench --rescan --records 1000000
  liaison bench --flood

The disk that is measured is the one that --dir lies on, or the directory for temporary files.";

/// Measure signatures, journal, exchange, latency and questions on this machine, each beside its limit.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// Takedown results that are pushed, and records that are appended.
    #[arg(long, default_value = "66000", value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    records: u32,
    /// The index engine of the nodes, fjall or sled.
    #[arg(long, default_value_t = crate::store::EngineKind::default())]
    engine: crate::store::EngineKind,
    /// Fill both nodes up to 1,000,000 records and look at their memory.
    #[arg(long)]
    million: bool,
    /// Measure an auditor's work instead: a history of so many records is exported and verified.
    #[arg(long, conflicts_with = "million")]
    audit: bool,
    /// Measure the dry run of a policy instead: a node of so many records, with so many partners.
    #[arg(long, conflicts_with_all = ["million", "audit"])]
    policy: bool,
    /// Partners that the dry run of a policy is made for.
    #[arg(long, default_value = "20", value_parser = clap::value_parser!(u16).range(1..=200))]
    partners: u16,
    /// Measure an erasure instead: on two nodes with so many records one is erased, and both indexes
    /// are written anew.
    #[arg(long, conflicts_with_all = ["million", "audit", "policy"])]
    erasure: bool,
    /// Measure changes of policy instead: a feed of so many records is brought to each.
    #[arg(long, conflicts_with_all = ["million", "audit", "policy", "erasure"])]
    rescan: bool,
    /// Measure a flood instead: single records of one client while another sends without end.
    #[arg(long, conflicts_with_all = ["million", "audit", "policy", "erasure", "rescan"])]
    flood: bool,
}

pub(super) async fn run(args: BenchArgs, context: &Context) -> Result<(), CliError> {
    let (dir, temporary) = directory(context)?;
    let measured = tokio::select! {
        measured = measure(&args, &dir, context) => measured,
        () = interrupt::interrupted() => Err(CliError::Interrupted {
            kept: "nothing was measured to its end".to_owned(),
            fix: "run it again".to_owned(),
        }),
    };
    if temporary {
        // The directory is ours and named by our process; what is left of it harms nobody.
        drop(std::fs::remove_dir_all(&dir));
    }
    measured?.show(context)
}

fn directory(context: &Context) -> Result<(PathBuf, bool), CliError> {
    let (dir, temporary) = match &context.options.dir {
        Some(dir) => (dir.clone(), false),
        None => (std::env::temp_dir().join(format!("liaison-bench-{}", std::process::id())), true),
    };
    std::fs::create_dir_all(&dir).map_err(CliError::file("create", &dir))?;
    let mut entries = std::fs::read_dir(&dir).map_err(CliError::file("read", &dir))?;
    if entries.next().is_some() {
        return Err(CliError::Precondition {
            found: format!("{} is not empty", dir.display()),
            fix: "choose another directory with --dir, or remove that one".to_owned(),
        });
    }
    Ok((dir, temporary))
}

async fn measure(args: &BenchArgs, dir: &Path, context: &Context) -> Result<Figures, CliError> {
    let say = |text: &str| context.output.note(text);
    let records = args.records as usize;
    let mut figures = Figures::new(args.records, args.engine.name());
    if args.audit {
        say(&format!("a history of {records} records, exported and verified"));
        figures.extend(audits::measure(dir, args.engine, records, context).await?);
        return Ok(figures);
    }
    if args.policy {
        let partners = usize::from(args.partners);
        figures.extend(policies::measure(dir, args.engine, records, partners, context).await?);
        return Ok(figures);
    }
    if args.erasure {
        say(&format!("two nodes with {records} records, of which one is erased"));
        figures.extend(erasures::measure(dir, args.engine, records, context).await?);
        return Ok(figures);
    }
    if args.rescan {
        say(&format!("two nodes: {records} records, and a policy that changes"));
        figures.extend(rescans::measure(dir, args.engine, records, context).await?);
        return Ok(figures);
    }
    if args.flood {
        figures.extend(floods::measure(dir, args.engine, context).await?);
        return Ok(figures);
    }
    say("signing and verifying records in memory");
    figures.extend(blocking(signatures::measure).await?);
    say("appending to a journal, and the same bytes without one");
    figures.extend(appends::measure(&dir.join("journal"), args.engine, records).await?);
    say(&format!("two nodes: {records} results from push to receipt"));
    let pair = Pair::start(dir, args.engine).await?;
    let measured = through_pair(args, &pair, dir, context).await;
    pair.stop().await;
    figures.extend(measured?);
    Ok(figures)
}

async fn through_pair(
    args: &BenchArgs,
    pair: &Pair,
    dir: &Path,
    context: &Context,
) -> Result<Vec<Figure>, CliError> {
    let records = args.records as usize;
    let mut figures = pair.bulk(dir, records, context).await?;
    context.output.note("two nodes: single records, one after another");
    figures.extend(pair.singles(records).await?);
    if args.million {
        context.output.note("two nodes: up to 1,000,000 records");
        figures.extend(pair.fill(dir, records + pair::SINGLES, context).await?);
    }
    context.output.note("questions about decisions");
    figures.extend(pair.explain().await?);
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use crate::cli::commands::bench::timing::{median, micros_each, per_second};
    use std::time::Duration;

    #[test]
    fn one_slow_round_does_not_count() {
        let times = [3, 900, 2].map(Duration::from_millis).to_vec();
        assert_eq!(median(times), Duration::from_millis(3));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }

    #[test]
    fn rates_and_times_are_two_views_of_one_measurement() {
        let time = Duration::from_millis(500);
        assert!((per_second(1_000, time) - 2_000.0).abs() < 1e-6);
        assert!((micros_each(1_000, time) - 500.0).abs() < 1e-6);
    }
}
