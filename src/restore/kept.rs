//! The audit objects that were read, kept until their changes are written, so that none is read twice from S3.

use super::audit::{AuditLog, AuditObject, AuditedChange};
use super::chain::Link;
use crate::spool::{Bodies, Place, Spool};

/// The objects, as they are found.
pub(super) struct Keeping {
    spool: Spool,
    /// How many bytes there is room for.
    room: usize,
}

impl Keeping {
    pub(super) fn new(room: usize) -> anyhow::Result<Self> {
        Ok(Self { spool: Spool::new()?, room })
    }

    /// Gives where the object is kept, if there is room for it.
    pub(super) fn put(&mut self, object: &AuditObject) -> anyhow::Result<Option<Place>> {
        let Some(room) = self.room.checked_sub(object.body.len()) else { return Ok(None) };
        self.room = room;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::audit::object;

    #[test]
    fn what_there_is_no_room_for_is_not_kept() {
        let mut keeping = Keeping::new(2_000).unwrap();
        let (small, large) = (object(100), object(1_500));
        let places: Vec<bool> =
            [&small, &large, &large, &small].map(|object| keeping.put(object).unwrap().is_some()).into();
        assert_eq!(places, [true, true, false, true]);
    }
}
