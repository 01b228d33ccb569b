//! A push against a node that answers over loopback: window, order, report, resume, interruption.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use clap::Parser;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::*;
use crate::cli::context::GlobalOptions;
use crate::cli::error::Exit;
use crate::cli::output::{Format, Output};
use crate::cli::{Cli, Command};
use crate::pb::record_service_server::{RecordService, RecordServiceServer};

/// Takes drafts; refuses values that contain `refuse`; cuts the stream after some requests.
#[derive(Default)]
struct Node {
    cut_after: Option<usize>,
    /// The receipt counts one more created than was answered.
    boasts: bool,
    /// Told when a request was answered.
    answered: Option<mpsc::UnboundedSender<()>>,
    values: Arc<Mutex<Vec<String>>>,
    largest_request: Arc<AtomicUsize>,
}

fn value_of(draft: &pb::Draft) -> &str {
    match &draft.content {
        Some(pb::draft::Content::TakedownResult(result)) => &result.value,
        Some(pb::draft::Content::Indicator(indicator)) => &indicator.value,
        _ => "",
    }
}

fn result_of(draft: &pb::Draft) -> pb::DraftResult {
    if value_of(draft).contains("refuse") {
        return pb::DraftResult {
            outcome: pb::DraftOutcome::Refused.into(),
            field: "value".into(),
            reason: "is refused".into(),
            ..Default::default()
        };
    }
    let record_id = vec![7; 32].into();
    pb::DraftResult { outcome: pb::DraftOutcome::Created.into(), record_id, ..Default::default() }
}

/// The key that the node's receipts are signed with.
fn receipt_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[1; 32])
}

pub(super) fn giver() -> ReceiptGiver {
    let key = receipt_key().verifying_key();
    ReceiptGiver {
        agency: "dcu.example".parse().unwrap(),
        key: crate::partner::PublicKey::try_from(key.as_bytes().as_slice()).unwrap(),
    }
}

#[tonic::async_trait]
impl RecordService for Node {
    type StreamRecordsStream = ReceiverStream<Result<pb::StreamRecordsResponse, Status>>;
    type QueryRecordsStream = ReceiverStream<Result<pb::QueryRecordsResponse, Status>>;
    type WatchRecordsStream = ReceiverStream<Result<pb::WatchRecordsResponse, Status>>;

    async fn stream_records(
        &self,
        request: Request<Streaming<pb::StreamRecordsRequest>>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(1);
        let (values, largest) = (Arc::clone(&self.values), Arc::clone(&self.largest_request));
        let (cut_after, answered) = (self.cut_after, self.answered.clone());
        let (mut heard, boasts) = (heard::Heard::default(), self.boasts);
        tokio::spawn(async move {
            let mut count = 0;
            while let Ok(Some(request)) = requests.message().await {
                if cut_after == Some(count) {
                    let _ = answers.send(Err(Status::unavailable("cut"))).await;
                    return;
                }
                count += 1;
                largest.fetch_max(request.drafts.len(), Ordering::Relaxed);
                let results: Vec<_> = request.drafts.iter().map(result_of).collect();
                results.iter().for_each(|result| heard.add(result).unwrap());
                values
                    .lock()
                    .unwrap()
                    .extend(request.drafts.iter().map(|d| value_of(d).to_owned()));
                let _ =
                    answers.send(Ok(pb::StreamRecordsResponse { results, receipt: None })).await;
                if let Some(answered) = &answered {
                    let _ = answered.send(());
                }
            }
            let mut receipt = heard.figures();
            receipt.created += u64::from(boasts);
            let agency = giver().agency;
            let note = crate::node::receipt::sign(&agency, &receipt, &receipt_key()).unwrap();
            receipt.note = note.into();
            let last = pb::StreamRecordsResponse { results: Vec::new(), receipt: Some(receipt) };
            let _ = answers.send(Ok(last)).await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn find_record_ids(
        &self,
        _: Request<pb::FindRecordIdsRequest>,
    ) -> Result<Response<pb::FindRecordIdsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn erase_record(
        &self,
        _: Request<pb::EraseRecordRequest>,
    ) -> Result<Response<pb::EraseRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_erasures(
        &self,
        _: Request<pb::ListErasuresRequest>,
    ) -> Result<Response<pb::ListErasuresResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_retractions(
        &self,
        _: Request<pb::ListRetractionsRequest>,
    ) -> Result<Response<pb::ListRetractionsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn restrict_record(
        &self,
        _: Request<pb::RestrictRecordRequest>,
    ) -> Result<Response<pb::RestrictRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn unrestrict_record(
        &self,
        _: Request<pb::UnrestrictRecordRequest>,
    ) -> Result<Response<pb::UnrestrictRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn explain_delivery(
        &self,
        _: Request<pb::ExplainDeliveryRequest>,
    ) -> Result<Response<pb::ExplainDeliveryResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn submit_records(
        &self,
        _: Request<pb::SubmitRecordsRequest>,
    ) -> Result<Response<pb::SubmitRecordsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_record(
        &self,
        _: Request<pb::GetRecordRequest>,
    ) -> Result<Response<pb::GetRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn query_records(
        &self,
        _: Request<pb::QueryRecordsRequest>,
    ) -> Result<Response<Self::QueryRecordsStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn watch_records(
        &self,
        _: Request<pb::WatchRecordsRequest>,
    ) -> Result<Response<Self::WatchRecordsStream>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn withdraw_record(
        &self,
        _: Request<pb::WithdrawRecordRequest>,
    ) -> Result<Response<pb::WithdrawRecordResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn channel_to(node: Node) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(RecordServiceServer::new(node));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Bench {
    dir: tempfile::TempDir,
    stdout: Captured,
    context: Context,
}

impl Bench {
    fn new(csv: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f.csv"), csv).unwrap();
        let stdout = Captured::default();
        let output =
            Output::captured(Format::Table, Box::new(stdout.clone()), Box::new(std::io::sink()));
        let context = Context { options: GlobalOptions::for_tests(), output };
        Self { dir, stdout, context }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn args(&self, more: &[&str]) -> PushArgs {
        let file = self.path("f.csv");
        let words =
            ["liaison", "push", file.to_str().unwrap(), "--tlp", "amber", "--type", "domain"];
        let cli = Cli::try_parse_from(words.iter().chain(more)).unwrap();
        let Command::Push(args) = cli.command else { panic!() };
        *args
    }

    async fn push(
        &self,
        node: Node,
        more: &[&str],
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), CliError> {
        self.push_to(giver(), node, more, interrupted).await
    }

    /// A push that is interrupted at its first answer.
    async fn push_interrupted(&self) {
        let (answered, mut first) = mpsc::unbounded_channel();
        let node = Node { answered: Some(answered), ..Node::default() };
        let wish = async move {
            first.recv().await;
        };
        let error = self.push(node, &[], wish).await.unwrap_err();
        assert_eq!(error.exit().code(), 130);
        assert!(self.path("f.csv.state").exists());
    }

    async fn push_to(
        &self,
        giver: ReceiptGiver,
        node: Node,
        more: &[&str],
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), CliError> {
        let args = self.args(more);
        let input = args.open()?;
        let identity = input.identity.clone();
        let source = Source { identity, rows: args.rows(input)?, template: args.template() };
        let channel = channel_to(node).await;
        push(&args, &self.context, channel, giver, source, interrupted).await
    }
}

fn rows(count: usize) -> String {
    let rows = (0..count).map(|row| format!("r{row}.example\n"));
    std::iter::once("value\n".to_owned()).chain(rows).collect()
}

fn never() -> impl Future<Output = ()> {
    std::future::pending()
}

#[tokio::test]
async fn a_receipt_over_something_else_is_not_taken() {
    let bench = Bench::new(&rows(10));
    let node = Node { boasts: true, ..Node::default() };
    let error = bench.push(node, &[], never()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::VerificationFailed);
    assert!(!bench.path("f.csv.receipt.json").exists());
}

#[tokio::test]
async fn all_rows_arrive_in_order_and_the_receipt_is_kept() {
    let bench = Bench::new(&rows(5000));
    let node = Node::default();
    let (values, largest) = (Arc::clone(&node.values), Arc::clone(&node.largest_request));
    bench.push(node, &[], never()).await.unwrap();
    let values = values.lock().unwrap();
    assert_eq!(values.len(), 5000);
    assert_eq!(values[4999], "r4999.example");
    assert_eq!(largest.load(Ordering::Relaxed), batch::BATCH_DRAFTS_MAX);
    let receipt = std::fs::read_to_string(bench.path("f.csv.receipt.json")).unwrap();
    assert!(
        receipt.contains("dcu.example/submission") && receipt.contains("\"through_row\": 5000"),
        "{receipt}"
    );
    assert!(bench.stdout.text().starts_with("rows       5,000\ncreated    5,000\n"));
    assert!(!bench.path("f.csv.state").exists() && !bench.path("f.csv.rejected.csv").exists());
}

#[tokio::test]
async fn rejected_rows_are_reported_in_the_order_of_the_file_and_exit_with_7() {
    let bench = Bench::new(
        "value,confidence\na.example,1\nb.example,900\nrefuse.example,2\nragged\nc.example,3\n",
    );
    let error = bench.push(Node::default(), &[], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 7);
    assert_eq!(
        std::fs::read_to_string(bench.path("f.csv.rejected.csv")).unwrap(),
        "rejected_line,rejected_column,rejected_reason,value,confidence\n\
         3,confidence,\"\"\"900\"\" is not a whole number from 0 to 100\",b.example,900\n\
         4,value,is refused,refuse.example,2\n\
         5,,\"the row has 1 columns, the header has 2\",ragged\n"
    );
}

#[tokio::test]
async fn after_a_cut_the_same_command_goes_on_with_the_first_unanswered_row() {
    let bench = Bench::new(&rows(3000));
    let node = Node { cut_after: Some(2), ..Node::default() };
    let error = bench.push(node, &[], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 8);
    assert!(bench.path("f.csv.state").exists());

    let node = Node::default();
    let values = Arc::clone(&node.values);
    bench.push(node, &[], never()).await.unwrap();
    let values = values.lock().unwrap();
    let first = &values[0];
    assert_eq!(
        values.len(),
        3000 - first[1..].split('.').next().unwrap().parse::<usize>().unwrap()
    );
    assert!(
        first == "r1024.example" || first == "r512.example" || first == "r0.example",
        "{first}"
    );
    assert!(bench.stdout.text().starts_with("rows        3,000\ncreated     3,000\n"));
    assert!(!bench.path("f.csv.state").exists());
}

#[tokio::test]
async fn an_interruption_keeps_what_was_answered_and_exits_with_130() {
    let bench = Bench::new(&rows(20_000));
    let (answered, mut first) = mpsc::unbounded_channel();
    let node = Node { answered: Some(answered), ..Node::default() };
    let before = Arc::clone(&node.values);
    let wish = async move {
        first.recv().await;
    };
    let error = bench.push(node, &[], wish).await.unwrap_err();
    assert_eq!(error.exit().code(), 130);
    let sent = before.lock().unwrap().len();
    assert!(sent < 20_000, "{sent}");

    let node = Node::default();
    let after = Arc::clone(&node.values);
    bench.push(node, &[], never()).await.unwrap();
    assert_eq!(after.lock().unwrap().len(), 20_000 - sent);
    let receipt = std::fs::read_to_string(bench.path("f.csv.receipt.json")).unwrap();
    assert_eq!(receipt.matches("through_row").count(), 2);
    assert!(receipt.contains("\"rows_without_receipt\": 0"));
}

#[tokio::test]
async fn other_options_do_not_go_on_with_an_earlier_push() {
    let bench = Bench::new(&rows(3000));
    let node = || Node { cut_after: Some(1), ..Node::default() };
    bench.push(node(), &[], never()).await.unwrap_err();
    let error = bench.push(node(), &["--status", "down"], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 9);
    bench.push(Node::default(), &["--status", "down", "--restart"], never()).await.unwrap();
}

#[tokio::test]
async fn a_push_to_another_node_does_not_go_on_with_the_first_ones_state() {
    let bench = Bench::new(&rows(20_000));
    bench.push_interrupted().await;
    let other = ReceiptGiver { agency: "other.example".parse().unwrap(), ..giver() };
    let node = Node::default();
    let values = Arc::clone(&node.values);
    let error = bench.push_to(other, node, &[], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 9);
    assert!(error.to_string().contains("another node"), "{error}");
    assert!(values.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_row_that_contradicts_one_before_the_interruption_is_refused() {
    let filler: String = (0..20_000).map(|row| format!("r{row}.example,1\n")).collect();
    // The second row was refused, so what it says binds nobody.
    let csv = format!(
        "value,confidence\nsame.example,1\nrefuse.example,1\nbad.example,900\n{filler}\
         same.example,2\nrefuse.example,2\nbad.example,90\nsame.example,1\n"
    );
    let bench = Bench::new(&csv);
    bench.push_interrupted().await;
    bench.push(Node::default(), &[], never()).await.unwrap_err();
    let report = std::fs::read_to_string(bench.path("f.csv.rejected.csv")).unwrap();
    let rejected: Vec<&str> = report.lines().skip(1).collect();
    assert_eq!(rejected.len(), 4, "{report}");
    assert!(rejected[2].starts_with("20005,value,a row before the interruption"), "{report}");
    assert_eq!(rejected[3], "20006,value,is refused,refuse.example,2");
}

#[tokio::test]
async fn a_push_that_settles_nothing_leaves_no_state_and_promises_nothing() {
    let bench = Bench::new(&rows(10));
    let node = Node { cut_after: Some(0), ..Node::default() };
    let error = bench.push(node, &[], never()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot push; no row is settled");
    assert!(!bench.path("f.csv.state").exists());
    bench.push(Node::default(), &["--status", "down"], never()).await.unwrap();
}

#[tokio::test]
async fn a_pipe_that_was_cut_is_not_said_to_go_on() {
    let bench = Bench::new(&rows(3000));
    let args = bench.args(&[]);
    let mut input = args.open().unwrap();
    input.identity = None;
    let source =
        Source { identity: None, rows: args.rows(input).unwrap(), template: args.template() };
    let channel = channel_to(Node { cut_after: Some(2), ..Node::default() }).await;
    let pushed = push(&args, &bench.context, channel, giver(), source, never()).await;
    let text = pushed.unwrap_err().to_string();
    assert!(text.contains("send all rows again") && !text.contains("same command"), "{text}");
}

#[tokio::test]
async fn corrections_in_the_report_of_an_interrupted_push_are_not_lost() {
    let bench = Bench::new(&format!("value\nrefuse.example\n{}", &rows(20_000)[6..]));
    bench.push_interrupted().await;
    let report = bench.path("f.csv.rejected.csv");
    let corrected = std::fs::read_to_string(&report).unwrap().replace("refuse.ex", "corrected.ex");
    std::fs::write(&report, &corrected).unwrap();
    let error = bench.push(Node::default(), &[], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 9);
    assert_eq!(std::fs::read_to_string(&report).unwrap(), corrected);
}

#[tokio::test]
async fn a_dry_run_checks_values_and_sends_nothing() {
    let bench = Bench::new("value\na.example\nnot a domain\n");
    let args = bench.args(&["--dry-run"]);
    let error = run(&args, &bench.context).await.unwrap_err();
    assert_eq!(error.exit().code(), 7);
    assert_eq!(bench.stdout.text(), "rows        2\nwould send  1\nrejected    1\n");
    assert!(bench.path("f.csv.dry-run.csv").exists() && !bench.path("f.csv.rejected.csv").exists());
}

#[tokio::test]
async fn unknown_columns_are_refused_before_any_connection() {
    let bench = Bench::new("value,colour\na.example,red\n");
    let error = run(&bench.args(&[]), &bench.context).await.unwrap_err();
    assert_eq!(error.exit().code(), 2);
    assert!(error.fix().unwrap().contains("--ignore-unknown"));
}

#[tokio::test]
async fn a_file_of_bad_rows_only_needs_no_answer() {
    let bench = Bench::new("value,confidence\na.example,x\n");
    let error = bench.push(Node::default(), &[], never()).await.unwrap_err();
    assert_eq!(error.exit().code(), 7);
    assert!(!bench.path("f.csv.receipt.json").exists());
}

#[test]
fn a_push_of_indicators_with_a_case_takes_an_analysts_profile_first() {
    let first = |more: &[&str]| {
        let words = ["liaison", "push", "f.csv", "--tlp", "amber"];
        let cli = Cli::try_parse_from(words.iter().chain(more)).unwrap();
        let Command::Push(args) = cli.command else { panic!() };
        args.natural_roles()[0]
    };
    assert_eq!(first(&["--kind", "indicator", "--case", "OP-1"]), Role::Analyst);
    assert_eq!(first(&["--kind", "indicator"]), Role::VendorTool);
    assert_eq!(first(&["--case", "OP-1"]), Role::VendorTool);
}
