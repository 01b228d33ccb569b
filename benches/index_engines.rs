//! The costs of an index over synthetic records: records a second, processor time, memory, disk,
//! point reads. One engine a process, so that the peak is its own: `cargo bench --bench
//! index_engines -- --engine fjall [--records 1000000] [--dir DIR]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use liaison::store::{Change, EngineKind, Index, IndexOptions, Position, Table};

const BATCH_RECORDS: u64 = 1_024;
const READS: u64 = 100_000;

/// SplitMix64 by its published constants: repeatable, and good enough for keys.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn id(seed: u64) -> [u8; 16] {
        let mut random = Self(seed);
        (u128::from(random.next()) << 64 | u128::from(random.next())).to_be_bytes()
    }
}

fn record_key(record: u64) -> [u8; 16] {
    Random::id(record)
}

/// About ten keys, like those of a real record: five posting lists that grow at their end, two
/// terms that are new each time.
fn changes_of(record: u64, changes: &mut Vec<Change>) {
    let mut random = Random(record ^ 0x5EED);
    let tail = record.to_be_bytes();
    changes.push(Change::put(Table::Records, record_key(record), [7; 24]));
    changes.push(Change::put(Table::Series, Random::id(!record), [9; 60]));
    for tag in 0..5u8 {
        let term = (random.next() % 50) as u8;
        changes.push(Change::put(Table::Search, [&[tag, term, b'x'][..], &tail].concat(), []));
    }
    for tag in 5..7u8 {
        let term = random.next().to_be_bytes();
        changes.push(Change::put(Table::Search, [&[tag][..], &term, &tail].concat(), []));
    }
    let disclosure = [&[0, 1][..], &record_key(record)].concat();
    changes.push(Change::put(Table::Tagged, disclosure, [3; 12]));
}

/// User and system time of this process (proc_pid_stat(5), fields 14 and 15, in 1/100 s).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn memory_mb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn disk_bytes(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() { disk_bytes(&entry.path()) } else { meta.len() }
        })
        .sum()
}

fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn main() {
    let Some(engine) = argument("--engine") else {
        println!("say which engine: --engine sled or --engine fjall");
        return;
    };
    let engine: EngineKind = engine.parse().unwrap();
    let records: u64 = argument("--records").map_or(1_000_000, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let dir = argument("--dir").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let index = Index::rebuild(&IndexOptions { dir: dir.clone(), engine, format: 1 }).unwrap();

    let base_cpu = cpu();
    let start = Instant::now();
    let mut generating = Duration::ZERO;
    for batch in 0..records.div_ceil(BATCH_RECORDS) {
        let begun = Instant::now();
        let first = batch * BATCH_RECORDS;
        let last = records.min(first + BATCH_RECORDS);
        let mut changes = Vec::with_capacity((last - first) as usize * 10);
        (first..last).for_each(|record| changes_of(record, &mut changes));
        generating += begun.elapsed();
        index.stage(changes, Position { segment: 1, offset: batch as u32 + 17 }).unwrap();
    }
    let staged = start.elapsed();
    index.flush().unwrap();
    let applied = start.elapsed();
    let write_cpu = cpu() - base_cpu;
    let (peak_writing, rss) = (memory_mb("VmHWM"), memory_mb("VmRSS"));

    let read_start = Instant::now();
    let mut random = Random(1);
    for _ in 0..READS {
        let key = record_key(random.next() % records);
        assert!(index.read(Table::Records, &key).unwrap().is_some());
    }
    let reading = read_start.elapsed();
    let peak = memory_mb("VmHWM");
    let size = index.size().unwrap();
    index.close().unwrap();

    let per_second = |count: u64, time: Duration| (count as f64 / time.as_secs_f64()) as u64;
    println!("engine                 {engine}");
    println!("records                {records}");
    println!("staged records/s       {}", per_second(records, staged));
    println!("applied records/s      {}", per_second(records, applied));
    println!("CPU s writing          {:.1}", write_cpu.as_secs_f64());
    println!("  of it making keys    {:.1} (wall)", generating.as_secs_f64());
    println!("CPU us per record      {:.1}", write_cpu.as_secs_f64() * 1e6 / records as f64);
    println!("RSS MB peak writing    {peak_writing} (then {rss})");
    println!("RSS MB peak            {peak}");
    println!("disk MB                {}", disk_bytes(&dir) >> 20);
    println!("engine's own figures   {size:?}");
    println!("point reads/s          {}", per_second(READS, reading));
    println!("CPU s in all           {:.1}", cpu().as_secs_f64());
}
