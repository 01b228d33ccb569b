//! One ordered scan over what is staged and what the engine holds.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;

use super::engine::{Change, EngineScan, KeyRange, KeyValue, Order, Table};
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
        self.run.changes().get(at)
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
        Self { staged, engine: engine.peekable(), order, failed: false }
    }

    /// The staged change that comes next, of the newest run that has its key; all runs are moved
    /// past that key.
    fn take_staged(&mut self, next: usize) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let change = self.staged.get(next)?.peek(self.order)?;
        let key = change.key.to_vec();
        let value = change.value.as_deref().map(<[u8]>::to_vec);
        for cursor in &mut self.staged {
            if cursor.peek(self.order).is_some_and(|other| *other.key == *key) {
                cursor.advance(self.order);
            }
        }
        Some((key, value))
    }

    /// The cursor with the next key; of several with that key, the newest.
    fn next_staged(&self) -> Option<(usize, &[u8])> {
        let keys = self
            .staged
            .iter()
            .enumerate()
            .filter_map(|(at, cursor)| Some((at, &*cursor.peek(self.order)?.key)));
        keys.min_by(|(_, a), (_, b)| in_order(self.order, a, b))
    }

    fn step(&mut self) -> Option<Result<(Vec<u8>, Option<Vec<u8>>), StoreError>> {
        let order = self.order;
        let stored = match self.engine.peek() {
            Some(Ok((key, _))) => Some(key.clone()),
            Some(Err(_)) => None,
            None if self.staged.is_empty() => return None,
            None => {
                let next = self.next_staged()?.0;
                return self.take_staged(next).map(Ok);
            }
        };
        let Some(stored) = stored else {
            return self.engine.next().map(|failed| failed.map(|(k, v)| (k, Some(v))));
        };
        let next = self.next_staged().map(|(at, key)| (at, in_order(order, key, &stored)));
        match next {
            None | Some((_, Ordering::Greater)) => {
                self.engine.next().map(|found| found.map(|(key, value)| (key, Some(value))))
            }
            Some((at, Ordering::Less)) => self.take_staged(at).map(Ok),
            Some((at, Ordering::Equal)) => {
                self.engine.next();
                self.take_staged(at).map(Ok)
            }
        }
    }
}

impl Iterator for IndexScan<'_> {
    type Item = Result<KeyValue, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.step()? {
                Ok((key, Some(value))) => return Some(Ok((key, value))),
                Ok((_, None)) => {}
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
