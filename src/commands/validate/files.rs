//! The files that tell of a run of `validate`: JUnit XML for CI services, and a page for people.

use std::path::PathBuf;

use super::check::Checks;
use crate::commands::lag::lag;
use crate::commands::output_file::OutputFile;
use crate::commands::session::Session;
use crate::picture::svg;
use crate::pipeline::Flow;
use crate::report::{FunctionLag, Reporter, RunHeader, ValidationReport, junit, validation_page};

/// Which files are wanted.
#[derive(Debug, clap::Args)]
pub(super) struct FilesArgument {
    /// Write the checks to this file as JUnit XML, which GitHub, GitLab and Jenkins show
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,
    /// Write a page to this file: checks, latencies, lag and throughput over time, the pipeline; it needs no network
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
}

/// The files of a run, and what they tell besides its checks.
pub(super) struct Files {
    junit: Option<OutputFile>,
    page: Option<OutputFile>,
    header: RunHeader,
    lag: Vec<FunctionLag>,
}

impl Files {
    /// Makes the files.
    ///
    /// # Errors
    /// One of them can't be written.
    pub(super) fn create(wanted: &FilesArgument, spec: PathBuf) -> anyhow::Result<Self> {
        let create = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::create).transpose();
        let (junit, page) = (create(&wanted.junit)?, create(&wanted.report)?);
        Ok(Self { junit, page, header: RunHeader::begin("validate", spec), lag: Vec::new() })
    }

    /// Notes whose pipeline it is.
    pub(super) fn know(&mut self, session: &Session) {
        self.header.place = Some(session.place());
        if self.page.is_some() {
            self.header.picture = Some(svg(&session.drawing(None)));
        }
    }

    /// Reads what the page tells of the lag.
    pub(super) async fn read_lag(&mut self, session: &Session, flows: &[&Flow], reporter: &Reporter) {
        if self.page.is_some() {
            self.lag = lag(session, flows, &self.header, reporter).await;
        }
    }

    /// Writes the files when the run has ended; `stopped` is why not everything was tried.
    pub(super) fn write(mut self, checks: &Checks<'_>, stopped: Option<&str>) -> anyhow::Result<()> {
        self.header.end();
        let Self { header, lag, .. } = &self;
        let report = ValidationReport { header, checks: checks.done(), passages: checks.passages(), lag, stopped };
        if let Some(file) = &self.junit {
            file.write(&junit(&report))?;
        }
        if let Some(file) = &self.page {
            file.write(&validation_page(&report))?;
        }
        Ok(())
    }
}
