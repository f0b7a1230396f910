//! Bodies of messages and objects in a file without a name, so that a hundred thousand of them take no memory. It goes with the process.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;

/// Where a body lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    offset: u64,
    length: usize,
}

/// The file.
pub(crate) struct Spool {
    file: BufWriter<File>,
    end: u64,
}

impl Spool {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let file = tempfile::tempfile().context("making a temporary file for what is read")?;
        Ok(Self { file: BufWriter::new(file), end: 0 })
    }

    pub(crate) fn put(&mut self, body: &str) -> anyhow::Result<Place> {
        let place = Place { offset: self.end, length: body.len() };
        self.file.write_all(body.as_bytes()).context("keeping what is read in a temporary file")?;
        self.end += u64::try_from(body.len())?;
        Ok(place)
    }

    /// No body is put after this.
    pub(crate) fn finished(self) -> anyhow::Result<Bodies> {
        let mut file = self.file.into_inner().context("keeping what is read in a temporary file")?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Bodies(file))
    }
}

/// A spool that is read.
pub(crate) struct Bodies(File);

impl Bodies {
    pub(crate) fn get(&self, place: Place) -> anyhow::Result<String> {
        let mut body = vec![0; place.length];
        self.0.read_exact_at(&mut body, place.offset).context("reading what was kept in a temporary file")?;
        Ok(String::from_utf8(body)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_they_were_put() {
        let mut spool = Spool::new().unwrap();
        let places: Vec<_> =
            ["one", "", "zweitens: ü"].into_iter().map(|body| (body, spool.put(body).unwrap())).collect();
        let bodies = spool.finished().unwrap();
        for (body, place) in places.into_iter().rev() {
            assert_eq!(bodies.get(place).unwrap(), body);
        }
    }
}
