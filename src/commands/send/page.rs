//! The page about a run of `send`, if one is wanted.

use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::summary::Summary;
use super::timeline::Timeline;
use crate::commands::lag::lag;
use crate::commands::output_file::OutputFile;
use crate::commands::session::Session;
use crate::failure::Shown;
use crate::interrupt::Interrupt;
use crate::picture::svg;
use crate::pipeline::Flow;
use crate::report::{FunctionLag, Reporter, RunHeader, SendReport, send_page};

/// What a page tells besides what was sent.
pub(super) struct Page {
    file: Option<OutputFile>,
    header: RunHeader,
    lag: Vec<FunctionLag>,
    /// What was sent, and the name of what it was sent to.
    sent: Option<(Summary, String)>,
}

impl Page {
    /// Makes the file.
    ///
    /// # Errors
    /// It can't be written.
    pub(super) fn create(file: Option<&Path>, spec: PathBuf) -> anyhow::Result<Self> {
        let file = file.map(OutputFile::create).transpose()?;
        Ok(Self { file, header: RunHeader::begin("send", spec), lag: Vec::new(), sent: None })
    }

    /// Notes whose pipeline it is.
    pub(super) fn know(&mut self, session: &Session) {
        if self.file.is_some() {
            self.header.place = Some(session.place());
            self.header.picture = Some(svg(&session.drawing(None)));
        }
    }

    /// What notes the times of calls from now on, if that is wanted.
    pub(super) fn timeline(&self) -> Option<Timeline> {
        self.file.as_ref().map(|_| Timeline::new(Instant::now()))
    }

    /// Reads the lag of the functions that read the same source; not when the user wants to stop.
    pub(super) async fn read_lag(
        &mut self,
        session: &Session,
        flow: &Flow,
        reporter: &Reporter,
        interrupt: &mut Interrupt,
    ) {
        if self.file.is_none() {
            return;
        }
        let readers = session.pipeline.flows.iter().filter(|other| other.source == flow.source);
        let readers: Vec<_> = readers.collect();
        let lag = interrupt.unless(async { Ok(lag(session, &readers, &self.header, reporter).await) }).await;
        self.lag = lag.unwrap_or_default();
    }

    /// Notes what was sent, and to where.
    pub(super) fn sent(&mut self, summary: Summary, name: &str) {
        self.sent = Some((summary, name.to_owned()));
    }

    /// Writes the page when the run has ended; the error says why not everything was sent.
    pub(super) fn write(mut self, error: Option<&anyhow::Error>) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.header.end();
        let said = match &self.sent {
            Some((summary, name)) => summary.text(name).trim_end().to_owned(),
            None => "nothing was sent".to_owned(),
        };
        let summary = self.sent.map(|(summary, _)| summary).unwrap_or_default();
        // Lines that were not sent are counted among what failed.
        let stopped = error.filter(|error| !error.is::<Shown>()).map(|error| format!("{error:#}"));
        let timeline = summary.timeline.as_ref();
        let report = SendReport {
            header: &self.header,
            said,
            facts: summary.facts(),
            slot_seconds: timeline.map_or(1.0, Timeline::slot_seconds),
            sent: timeline.map(|timeline| timeline.sent().to_vec()).unwrap_or_default(),
            calls: timeline.map(|timeline| timeline.calls().collect()).unwrap_or_default(),
            call_name: if summary.changes.is_some() { "changes" } else { "PutRecords calls" },
            what: summary.what(),
            lag: self.lag,
            stopped,
            failed: summary.failed,
        };
        file.write(&send_page(&report))
    }
}
