//! An erased text is in no memory of a node that goes on running: neither in what it keeps of late, nor
//! in buffers of its connections, nor in what it has given back to its allocator.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use liaison::pb::{self, draft::Content};
use liaison::policy::ClientRole;

use crate::erasure::{erase, holds};
use crate::fixture::{self, CORE_ONLY, RunningNode, canary, draft, eventually};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// The slot of an indicator that holds its title.
const TITLE: u32 = 1 << 7;
/// A prefix that makes a title longer than the blocks in which it is hashed.
const LONG: &str =
    "A title that goes on and on, so that it fills more than one block of a hash, and ends with ";

/// Returns true if a process holds these bytes in memory that it can write.
fn is_in_memory(pid: u32, needle: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut buffer = vec![0; READ_BYTES + needle.len()];
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut at, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        while at < end {
            let most = buffer.len().min(usize::try_from(end - at).unwrap());
            // A page that was given back meanwhile cannot be read.
            let read = memory.read_at(&mut buffer[..most], at).unwrap_or_default();
            if holds(&buffer[..read], needle) {
                return true;
            }
            at += READ_BYTES as u64;
        }
    }
    false
}

#[tokio::test]
async fn an_erased_text_is_in_no_memory_of_any_node_that_goes_on_running() {
    let dir = tempfile::tempdir().unwrap();
    let police = RunningNode::fresh(dir.path(), "police.example", "police", CORE_ONLY).await;
    let vendor = RunningNode::fresh(dir.path(), "vendor.example", "vendor", CORE_ONLY).await;
    let nodes = [&police, &vendor];
    fixture::introduce(&nodes).await;
    let texts: Vec<String> = (0..10).map(|_| canary("title")).collect();
    let drafts = texts.iter().enumerate().map(|(n, title)| {
        let content = pb::Indicator {
            r#type: pb::ValueType::Domain.into(),
            value: format!("host{n}.example"),
            title: format!("{}{title}", LONG.repeat(n % 2)),
            ..pb::Indicator::default()
        };
        draft("", Content::Indicator(content))
    });
    let results = police.submit(drafts.collect()).await;
    let ids: Vec<Bytes> = results.into_iter().map(|result| result.record_id).collect();
    fixture::settled(&nodes).await;
    for node in nodes {
        for id in &ids {
            node.view(ClientRole::Analyst, id).await.unwrap();
        }
        assert!(texts.iter().any(|text| is_in_memory(node.pid(), text.as_bytes())));
    }
    for id in &ids {
        erase(&police, id, TITLE, pb::ErasureBasis::Gdpr17).await;
    }
    fixture::settled(&nodes).await;
    for node in nodes {
        for text in &texts {
            let what = format!("{text} is out of the memory of {}", node.agency);
            eventually(&what, async || !is_in_memory(node.pid(), text.as_bytes())).await;
        }
    }
}
