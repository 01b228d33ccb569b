//! One ordered scan over what is staged and what the engine holds.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::engine::{Change, EngineScan, IndexEngine, KeyRange, KeyValue, Order, Table};
use super::error::StoreError;
use super::overlay::{Overlay, Run};

/// Pairs of one table in key order. It shows what was staged when it began, whatever is applied
/// meanwhile; it ends after an error.
pub struct IndexScan<'a> {
    /// From the newest run to the oldest.
    staged: Vec<Cursor>,
    engine: Peekable<EngineScan<'a>>,
    order: Order,
    failed: bool,
    /// Keeps the engine's files there until the scan is over.
    _held: Option<Arc<Box<dyn IndexEngine>>>,
}

struct Cursor {
    run: Arc<Run>,
    left: Range<usize>,
}

impl Cursor {
    fn peek(&self, order: Order) -> Option<&Change> {
        let at = match order {
            _ if self.left.is_empty() => return None,
            Order::Ascending => self.left.start,
            Order::Descending => self.left.end - 1,
        };
        self.run.change_at(at)
    }

    fn advance(&mut self, order: Order) {
        match order {
            Order::Ascending => self.left.next(),
            Order::Descending => self.left.next_back(),
        };
    }
}

fn in_order(order: Order, a: &[u8], b: &[u8]) -> Ordering {
    match order {
        Order::Ascending => a.cmp(b),
        Order::Descending => b.cmp(a),
    }
}

impl<'a> IndexScan<'a> {
    pub(super) fn new(
        overlay: &Overlay,
        table: Table,
        range: &KeyRange,
        order: Order,
        engine: EngineScan<'a>,
    ) -> Self {
        let staged = overlay
            .newest_first()
            .map(|run| Cursor { run: Arc::clone(run), left: run.within(table, range) })
            .filter(|cursor| !cursor.left.is_empty())
            .collect();
        Self { staged, engine: engine.peekable(), order, failed: false, _held: None }
    }

    /// Holds on to the engine that it scans.
    pub(super) fn holding(self, engine: Arc<Box<dyn IndexEngine>>) -> Self {
        Self { _held: Some(engine), ..self }
    }

    fn next_source(&mut self) -> Option<Source> {
        let staged = next_staged(&self.staged, self.order);
        Some(match (staged, self.engine.peek()) {
            (None, None) => return None,
            (Some((at, _)), None) => Source::Staged(at),
            (None, Some(_)) | (Some(_), Some(Err(_))) => Source::Engine,
            (Some((at, key)), Some(Ok((stored, _)))) => match in_order(self.order, key, stored) {
                Ordering::Less => Source::Staged(at),
                Ordering::Equal => Source::Both(at),
                Ordering::Greater => Source::Engine,
            },
        })
    }

    /// The next staged pair, or `None` if it is a deletion. All runs are moved past its key.
    fn take_staged(&mut self, at: usize) -> Option<KeyValue> {
        let change = self.staged.get(at)?.peek(self.order)?;
        let key = change.key.to_vec();
        let value = change.value.as_deref().map(<[u8]>::to_vec);
        for cursor in &mut self.staged {
            if cursor.peek(self.order).is_some_and(|other| *other.key == *key) {
                cursor.advance(self.order);
            }
        }
        Some((key, value?))
    }
}

/// The source of the next key; of the runs, the newest that has it.
enum Source {
    Engine,
    Staged(usize),
    Both(usize),
}

fn next_staged(staged: &[Cursor], order: Order) -> Option<(usize, &[u8])> {
    let keys =
        staged.iter().enumerate().filter_map(|(at, cursor)| Some((at, &*cursor.peek(order)?.key)));
    // The first of equal ones is that of the newest run.
    keys.min_by(|(_, a), (_, b)| in_order(order, a, b))
}

impl Iterator for IndexScan<'_> {
    type Item = Result<KeyValue, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let at = match self.next_source()? {
                Source::Engine => {
                    let found = self.engine.next()?;
                    self.failed = found.is_err();
                    return Some(found);
                }
                Source::Staged(at) => at,
                Source::Both(at) => {
                    self.engine.next();
                    at
                }
            };
            if let Some(pair) = self.take_staged(at) {
                return Some(Ok(pair));
            }
        }
        None
    }
}
