//! The audit objects that were read, kept until their changes are written, so that none is read twice from S3.

use super::audit::{AuditLog, AuditObject, AuditedChange};
use super::chain::Link;
use crate::spool::{Bodies, Place, Spool};

/// The most bytes that are kept: where temporary files lie in memory, that is what they take. What is over it is read again.
const MOST: usize = 512 << 20;

/// The objects, as they are found.
pub(super) struct Keeping {
    spool: Spool,
    bytes: usize,
}

impl Keeping {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { spool: Spool::new()?, bytes: 0 })
    }

    /// Gives where the object is kept, if there is room for it.
    pub(super) fn put(&mut self, object: &AuditObject) -> anyhow::Result<Option<Place>> {
        let bytes = self.bytes + object.body.len();
        if bytes > MOST {
            return Ok(None);
        }
        self.bytes = bytes;
        self.spool.put(&object.body).map(Some)
    }

    /// No object is put after this.
    pub(super) fn finished(self, log: AuditLog) -> anyhow::Result<Kept> {
        Ok(Kept { log, bodies: self.spool.finished()? })
    }
}

/// All objects.
pub(super) struct Kept {
    log: AuditLog,
    bodies: Bodies,
}

impl Kept {
    /// Reads a change, from S3 if it is not kept. None where its object is gone.
    pub(super) async fn change(&self, link: &Link) -> anyhow::Result<Option<AuditedChange>> {
        match link.body {
            Some(place) => self.log.decoded(&link.object, &self.bodies.get(place)?).map(Some),
            None => self.log.change(&link.object).await,
        }
    }
}
