//! A PUT that is judged while nobody else changes what it replaces.

use std::sync::Arc;

use async_trait::async_trait;
use control_plane::ports::{Admission, AdmissionQuery, Put, PutOutcome, StoreResult, Turn};
use seca_api::ResourceKey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{admission, put};
use crate::{
    database::{Database, Lane, Tx},
    fault::Fault,
    sql::{Sql, key_row, rows, sql},
};

/// How many have their turn at once in this process: a turn that waits for another's rows keeps a connection.
pub(super) const TURNS: usize = 2;

/// In the order of their uids, like everybody else. Others may depend on them meanwhile.
const LOCK: Sql = sql!("SELECT r.uid FROM " (rows 1) " JOIN resources r ON " listed " ORDER BY r.uid" change);

pub(super) struct SqlTurn {
    db: Database,
    tx: Tx,
    _turn: Option<OwnedSemaphorePermit>,
}

impl SqlTurn {
    pub(super) async fn begin(db: &Database, turns: &Arc<Semaphore>, keys: &[ResourceKey]) -> Result<Self, Fault> {
        let turn = Arc::clone(turns).acquire_owned().await.ok();
        let locked = [rows(keys.iter().map(key_row))];
        let tx = db.begin_with(Lane::Write, LOCK, &locked).await?;
        Ok(Self { db: db.clone(), tx, _turn: turn })
    }
}

#[async_trait]
impl Turn for SqlTurn {
    async fn admission(&mut self, query: &AdmissionQuery) -> StoreResult<Admission> {
        Ok(admission::within(&mut self.tx, query).await?)
    }

    async fn put(mut self: Box<Self>, put: Put) -> StoreResult<PutOutcome> {
        let written = match put::within(&mut self.tx, put).await {
            Ok(PutOutcome::Stale) => {
                self.tx.rollback().await;
                return Ok(PutOutcome::Stale);
            }
            Ok(outcome) => self.tx.commit().await.map(|()| outcome),
            Err(fault) => {
                self.tx.rollback().await;
                Err(fault)
            }
        };
        match self.db.noticed(written) {
            // It lost against others, which is no reason to fail: it is judged again.
            Err(fault) if fault.is_passing() => Ok(PutOutcome::Stale),
            other => Ok(other?),
        }
    }
}
