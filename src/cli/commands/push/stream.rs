//! One bulk submission: requests out, answers back in their order, a bounded number between.
//!
//! Decides nothing about rows; hands each answered portion to the ledger. When the user wants to
//! stop, what is under way is finished within a deadline.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tonic::transport::Channel;

use super::batch::Batch;
use super::ledger::Ledger;
use crate::cli::error::CliError;
use crate::pb;
use crate::pb::record_service_client::RecordServiceClient;

/// Portions that are not settled, with or without a request that waits for its answer. Eight of 512
/// drafts keep the node's group commit busy; more would only be memory.
const UNSETTLED_MAX: usize = 8;

/// The longest wait of an interrupted push for requests under way.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// The end of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    Interrupted,
}

/// Sends all portions. `patience` is how long the node may be silent while an answer is due.
pub(super) async fn submit(
    channel: Channel,
    mut portions: mpsc::Receiver<Result<Batch, CliError>>,
    ledger: &mut Ledger<'_>,
    interrupt: impl Future<Output = ()>,
    patience: Duration,
) -> Result<End, CliError> {
    let (requests, outgoing) = mpsc::channel(UNSETTLED_MAX);
    let mut answers = pin!(answers(channel, outgoing));
    let mut interrupt = pin!(interrupt);
    let mut flow = Flow::new(requests, patience);
    loop {
        flow.settle_unsent(ledger)?;
        if flow.is_over() {
            break;
        }
        tokio::select! {
            biased;
            () = &mut interrupt, if !flow.interrupted => {
                flow.interrupt();
                portions.close();
            }
            answer = answers.next(), if flow.opened => match answer.transpose().map_err(CliError::node("push"))? {
                Some(answer) => flow.take(answer, ledger)?,
                None => return Err(CliError::Answer("the stream ended without a receipt".into())),
            },
            portion = portions.recv(), if flow.wants_more() => match portion {
                Some(Ok(batch)) => flow.send(batch).await?,
                Some(Err(error)) => flow.stop_at(error),
                None => flow.close(),
            },
            () = tokio::time::sleep_until(flow.deadline), if flow.is_owed() => {
                return Err(flow.too_late());
            }
        }
    }
    flow.end()
}

/// Opens the stream at the first poll; answers may come before everything is sent.
fn answers(
    channel: Channel,
    outgoing: mpsc::Receiver<pb::StreamRecordsRequest>,
) -> impl Stream<Item = Result<pb::StreamRecordsResponse, Status>> {
    async_stream::try_stream! {
        let mut client = RecordServiceClient::new(channel);
        let mut answers = client.stream_records(ReceiverStream::new(outgoing)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            yield answer;
        }
    }
}

/// The state of a submission.
struct Flow {
    /// None once our side is closed.
    requests: Option<mpsc::Sender<pb::StreamRecordsRequest>>,
    /// In the order of the file; those without drafts wait for nothing but their turn.
    waiting: VecDeque<Batch>,
    unanswered: usize,
    opened: bool,
    receipted: bool,
    interrupted: bool,
    /// Reading the file failed; what was read before is still sent.
    fault: Option<CliError>,
    deadline: Instant,
    patience: Duration,
}

impl Flow {
    fn new(requests: mpsc::Sender<pb::StreamRecordsRequest>, patience: Duration) -> Self {
        Self {
            requests: Some(requests),
            waiting: VecDeque::new(),
            unanswered: 0,
            opened: false,
            receipted: false,
            interrupted: false,
            fault: None,
            deadline: Instant::now() + patience,
            patience,
        }
    }

    fn wants_more(&self) -> bool {
        self.requests.is_some() && self.waiting.len() < UNSETTLED_MAX
    }

    /// Returns true if an answer or the receipt is due from the node.
    const fn is_owed(&self) -> bool {
        self.opened && !self.receipted && (self.unanswered > 0 || self.requests.is_none())
    }

    fn is_over(&self) -> bool {
        let nothing_was_sent = self.requests.is_none() && !self.opened && self.waiting.is_empty();
        self.receipted || nothing_was_sent
    }

    async fn send(&mut self, mut batch: Batch) -> Result<(), CliError> {
        if batch.draft_count > 0 {
            let request = pb::StreamRecordsRequest { drafts: std::mem::take(&mut batch.drafts) };
            if let Some(requests) = &self.requests {
                // There is room for every unanswered request, so this never waits; a receiver that
                // has gone is reported by the answers.
                let _ = requests.send(request).await;
            }
            if self.unanswered == 0 {
                self.deadline = Instant::now() + self.patience;
            }
            self.unanswered += 1;
            self.opened = true;
        }
        self.waiting.push_back(batch);
        Ok(())
    }

    fn take(
        &mut self,
        answer: pb::StreamRecordsResponse,
        ledger: &mut Ledger<'_>,
    ) -> Result<(), CliError> {
        if !self.interrupted {
            self.deadline = Instant::now() + self.patience;
        }
        if let Some(receipt) = answer.receipt {
            if self.unanswered > 0 {
                return Err(CliError::Answer("a receipt before all answers".into()));
            }
            ledger.close(&receipt)?;
            self.receipted = true;
            return Ok(());
        }
        let batch = self.waiting.pop_front();
        let batch = batch.ok_or_else(|| CliError::Answer("more answers than requests".into()))?;
        self.unanswered = self.unanswered.saturating_sub(1);
        ledger.settle(&batch, &answer.results)
    }

    /// Portions without drafts are settled when it is their turn.
    fn settle_unsent(&mut self, ledger: &mut Ledger<'_>) -> Result<(), CliError> {
        while let Some(batch) = self.waiting.pop_front_if(|batch| batch.draft_count == 0) {
            ledger.settle(&batch, &[])?;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.requests = None;
        self.deadline = Instant::now() + self.patience;
    }

    fn interrupt(&mut self) {
        self.interrupted = true;
        self.requests = None;
        self.deadline = Instant::now() + FINISH_WITHIN.min(self.patience);
    }

    fn stop_at(&mut self, fault: CliError) {
        self.fault = Some(fault);
        self.close();
    }

    fn too_late(&self) -> CliError {
        if self.interrupted {
            return CliError::Interrupted {
                kept: "the node did not answer the rows that were sent last".into(),
                fix: "run the same command to go on".into(),
            };
        }
        let silence = format!("no answer for {} s", self.patience.as_secs());
        CliError::node("push")(Status::deadline_exceeded(silence))
    }

    fn end(self) -> Result<End, CliError> {
        match (self.fault, self.interrupted) {
            (Some(fault), _) => Err(fault),
            (None, true) => Ok(End::Interrupted),
            (None, false) => Ok(End::Complete),
        }
    }
}
