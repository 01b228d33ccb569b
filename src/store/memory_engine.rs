//! The reference engine of the tests: ordered maps, and a gate that holds `apply` back.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use super::engine::{Change, EngineScan, EngineSize, IndexEngine, KeyRange, Order, Table};
use super::error::StoreError;
use super::position::Position;

#[derive(Default, Clone)]
pub(super) struct MemoryEngine {
    state: Arc<Mutex<State>>,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Default)]
struct State {
    pairs: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    watermark: Option<Position>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    #[default]
    Open,
    Closed,
    Failing,
    Panicking,
}

impl MemoryEngine {
    pub(super) fn set(&self, gate: Gate) {
        *self.gate.0.lock().unwrap() = gate;
        self.gate.1.notify_all();
    }
}

impl IndexEngine for MemoryEngine {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state.lock().unwrap().pairs.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, range: &KeyRange, order: Order) -> EngineScan<'static> {
        let state = self.state.lock().unwrap();
        let within = |key: &[u8]| key >= range.start() && range.end().is_none_or(|end| key < end);
        let mut found: Vec<_> = state
            .pairs
            .iter()
            .filter(|((of, key), _)| *of == table && within(key))
            .map(|((_, key), value)| Ok((key.clone(), value.clone())))
            .collect();
        if order == Order::Descending {
            found.reverse();
        }
        Box::new(found.into_iter())
    }

    fn apply(&self, changes: &[&Change], watermark: Position) -> Result<(), StoreError> {
        let gate = self.gate.0.lock().unwrap();
        let gate = self.gate.1.wait_while(gate, |gate| *gate == Gate::Closed).unwrap();
        match *gate {
            Gate::Failing => return Err(StoreError::engine("memory", "told to fail")),
            Gate::Panicking => panic!("told to panic"),
            Gate::Open | Gate::Closed => drop(gate),
        }
        let mut state = self.state.lock().unwrap();
        for change in changes {
            let key = (change.table, change.key.to_vec());
            match &change.value {
                Some(value) => state.pairs.insert(key, value.to_vec()),
                None => state.pairs.remove(&key),
            };
        }
        state.watermark = Some(watermark);
        Ok(())
    }

    fn watermark(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.state.lock().unwrap().watermark)
    }

    fn clear(&self) -> Result<(), StoreError> {
        *self.state.lock().unwrap() = State::default();
        Ok(())
    }

    fn size(&self) -> Result<EngineSize, StoreError> {
        Ok(EngineSize::default())
    }
}
