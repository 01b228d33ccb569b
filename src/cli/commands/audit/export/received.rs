//! The history of a running node, written down as it comes: a directory like the node's own, without
//! keys, from which an export is made as from any other.
//!
//! Nothing of it is believed here. It goes again when the export is made, unless it is evidence.

use crate::audit::is_plain_name;
use crate::cli::connection::Role;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::interrupt;
use crate::cli::progress::Progress;
use crate::ident::BundleHash;
use crate::pb::log_service_client::LogServiceClient;
use crate::pb::{self, export_history_response::Part};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tonic::Status;

/// Bytes of one segment file: 256 MiB and one batch of 64, with room.
const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// Policies that were ever put in force: one a day for 27 years.
const POLICIES_MAX: usize = 10_000;

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Received {
    dir: PathBuf,
}

impl Drop for Received {
    fn drop(&mut self) {
        // What is left of it is named as received and harms nobody.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Received {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the directory a name of its own, under which it stays.
    pub(super) fn keep(self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.dir, path)
    }
}

/// Asks the node of the client profile for its history. `out` is where the export is to be made;
/// what comes is written beside it.
pub(super) async fn receive(out: &Path, context: &Context) -> Result<Received, CliError> {
    // Signals are watched before anything is written.
    tokio::select! {
        biased;
        () = interrupt::interrupted() => Err(super::interrupted()),
        received = receive_all(out, context) => received,
    }
}

async fn receive_all(out: &Path, context: &Context) -> Result<Received, CliError> {
    let channel = context.channel(&[Role::Auditor]).await?;
    let mut client = LogServiceClient::new(channel);
    let doing = "read the history";
    // No deadline for the whole: only for each part.
    let answer = in_time(client.export_history(pb::ExportHistoryRequest {}), context).await;
    let mut stream = answer.map_err(CliError::node(doing))?.into_inner();
    let mut writing = Writing::begin(out)?;
    let (options, output) = (&context.options, &context.output);
    let mut progress = Progress::start(options.progress, None, 0, output).counting("MB");
    let ended = loop {
        let next = in_time(stream.message(), context).await.map_err(CliError::node(doing));
        match next.and_then(|next| writing.take(next)) {
            Ok(true) => progress.update(writing.bytes, writing.bytes / 1_000_000),
            Ok(false) => break Ok(writing.received),
            Err(error) => break Err(error),
        }
    };
    progress.finish();
    ended
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, Status>>,
    context: &Context,
) -> Result<T, Status> {
    let silent = |_| Err(Status::deadline_exceeded("it was silent for too long"));
    tokio::time::timeout(context.options.timeout(), answer).await.unwrap_or_else(silent)
}

/// A directory that is being written.
struct Writing {
    received: Received,
    /// The segment at hand, with its number and bytes so far.
    segment: Option<(u32, File, u64)>,
    bytes: u64,
    policies: BTreeSet<BundleHash>,
}

fn not_so(found: impl Into<String>) -> CliError {
    CliError::Answer(found.into())
}

impl Writing {
    fn begin(out: &Path) -> Result<Self, CliError> {
        let name = out.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        let dir = out.with_file_name(format!(".{name}.{}.received", std::process::id()));
        // It holds content: for its owner alone, whatever the export will be.
        let made = DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(CliError::file("create", &dir))?;
        let received = Received { dir };
        let segments = received.dir.join("store").join("segments");
        std::fs::create_dir_all(&segments).map_err(CliError::file("create", &segments))?;
        Ok(Self { received, segment: None, bytes: 0, policies: BTreeSet::new() })
    }

    /// Writes the next part; `false` at the end.
    fn take(&mut self, answer: Option<pb::ExportHistoryResponse>) -> Result<bool, CliError> {
        let cut = || not_so("the history was cut off before its end");
        match answer.ok_or_else(cut)?.part {
            Some(Part::Segment(segment)) => self.segment(&segment)?,
            Some(Part::Policy(bundle)) => self.policy(bundle)?,
            Some(Part::End(end)) if end.segment_bytes == self.bytes => return Ok(false),
            Some(Part::End(end)) => {
                let (wanted, found) = (end.segment_bytes, self.bytes);
                return Err(not_so(format!("it sent {wanted} bytes and {found} came")));
            }
            None => return Err(not_so("a part of the history of another sort")),
        }
        Ok(true)
    }

    fn segment(&mut self, part: &pb::SegmentBytes) -> Result<(), CliError> {
        let segments = self.received.dir.join("store").join("segments");
        let path = segments.join(super::segment_name(part.number));
        let last = self.segment.as_ref().map_or(0, |(number, ..)| *number);
        if part.number == last + 1 && self.policies.is_empty() {
            let file = File::create_new(&path).map_err(CliError::file("create", &path))?;
            self.segment = Some((part.number, file, 0));
        }
        let Some((_, file, bytes)) = self.segment.as_mut().filter(|(at, ..)| *at == part.number)
        else {
            return Err(not_so(format!("segment {} after segment {last}", part.number)));
        };
        *bytes += part.bytes.len() as u64;
        if *bytes > SEGMENT_BYTES_MAX {
            return Err(not_so(format!("segment {} is longer than any", part.number)));
        }
        self.bytes += part.bytes.len() as u64;
        file.write_all(&part.bytes).map_err(CliError::file("write", &path))
    }

    fn policy(&mut self, bundle: pb::PolicyBundle) -> Result<(), CliError> {
        let hash = BundleHash::try_from(&bundle.bundle_hash[..])
            .map_err(|error| not_so(format!("the hash of a policy: {error}")))?;
        if self.policies.len() == POLICIES_MAX || !self.policies.insert(hash) {
            return Err(not_so(format!("policy {hash} twice, or beyond the {POLICIES_MAX}th")));
        }
        let dir = self.received.dir.join("policies").join(hash.to_string());
        std::fs::create_dir_all(&dir).map_err(CliError::file("create", &dir))?;
        for file in bundle.files {
            if !is_plain_name(&file.name) {
                return Err(not_so(format!("{:?} is not a file name of a policy", file.name)));
            }
            let path = dir.join(file.name);
            let written =
                File::create_new(&path).and_then(|mut there| there.write_all(file.text.as_bytes()));
            written.map_err(CliError::file("write", &path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::error::Exit;

    fn segment(number: u32, bytes: &'static [u8]) -> Option<pb::ExportHistoryResponse> {
        let bytes = bytes.into();
        let part = Some(Part::Segment(pb::SegmentBytes { number, bytes }));
        Some(pb::ExportHistoryResponse { part })
    }

    fn policy(hash: u8, name: &str) -> Option<pb::ExportHistoryResponse> {
        let files = vec![pb::PolicyFile { name: name.to_owned(), text: "permit".to_owned() }];
        let bundle = pb::PolicyBundle { bundle_hash: vec![hash; 32].into(), files };
        Some(pb::ExportHistoryResponse { part: Some(Part::Policy(bundle)) })
    }

    fn end(segment_bytes: u64) -> Option<pb::ExportHistoryResponse> {
        let part = Some(Part::End(pb::HistoryEnd { segment_bytes }));
        Some(pb::ExportHistoryResponse { part })
    }

    #[test]
    fn what_comes_is_written_like_a_nodes_directory_and_goes_again() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("out");
        let mut writing = Writing::begin(&out).unwrap();
        for answer in [segment(1, b"ab"), segment(1, b"c"), segment(2, b"d"), policy(1, "a.cedar")]
        {
            assert!(writing.take(answer).unwrap());
        }
        assert!(!writing.take(end(4)).unwrap());
        let dir = writing.received.dir().to_owned();
        let read = |path: &str| std::fs::read_to_string(dir.join(path)).unwrap();
        assert_eq!(read("store/segments/00000001.seg"), "abc");
        assert_eq!(read("store/segments/00000002.seg"), "d");
        assert_eq!(read(&format!("policies/{}/a.cedar", "01".repeat(32))), "permit");
        drop(writing);
        assert!(!dir.exists());
    }

    #[test]
    fn an_answer_out_of_order_or_with_a_name_that_leads_elsewhere_is_refused() {
        type Answers = Vec<Option<pb::ExportHistoryResponse>>;
        let table: [(&str, Answers); 11] = [
            ("cut off", vec![segment(1, b"a"), None]),
            ("another length", vec![segment(1, b"a"), end(2)]),
            ("no first segment", vec![segment(2, b"a")]),
            ("segment 0", vec![segment(0, b"a")]),
            ("a gap", vec![segment(1, b"a"), segment(3, b"a")]),
            ("a step back", vec![segment(1, b"a"), segment(2, b"a"), segment(1, b"a")]),
            ("a segment after a policy", vec![segment(1, b"a"), policy(1, "a"), segment(2, b"a")]),
            ("a policy twice", vec![policy(1, "a.cedar"), policy(1, "b.cedar")]),
            ("a name upwards", vec![policy(1, "../a")]),
            ("no name", vec![policy(1, "")]),
            ("nothing known", vec![Some(pb::ExportHistoryResponse { part: None })]),
        ];
        for (what, answers) in table {
            let parent = tempfile::tempdir().unwrap();
            let mut writing = Writing::begin(&parent.path().join("out")).unwrap();
            let (last, before) = answers.split_last().unwrap();
            before.iter().for_each(|answer| assert!(writing.take(answer.clone()).unwrap()));
            let refused = writing.take(last.clone()).unwrap_err();
            assert_eq!(refused.exit(), Exit::Failed, "{what}");
        }
    }
}
