//! Which run a file tells of.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::plan::Place;

/// The run of a command.
#[derive(Debug)]
pub(crate) struct RunHeader {
    /// The command's name.
    pub(crate) command: &'static str,
    pub(crate) spec: PathBuf,
    /// Whose pipeline it is, once that is known.
    pub(crate) place: Option<Place>,
    /// The pipeline as an SVG image, once there is one.
    pub(crate) picture: Option<String>,
    pub(crate) began: Timestamp,
    /// The same moment on the clock by which times are measured.
    pub(crate) started: Instant,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl RunHeader {
    /// A run that begins now.
    pub(crate) fn begin(command: &'static str, spec: PathBuf) -> Self {
        let (began, started) = (Timestamp::now(), Instant::now());
        Self { command, spec, place: None, picture: None, began, started, seconds: 0.0 }
    }

    /// Notes that the run has ended.
    pub(crate) fn end(&mut self) {
        self.seconds = self.started.elapsed().as_secs_f64();
    }

    /// Seconds since the run began.
    pub(super) fn since(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.started).as_secs_f64()
    }

    /// The pipeline's name with its stage; the spec's path before that is known.
    pub(super) fn pipeline(&self) -> String {
        match &self.place {
            Some(place) => match &place.stage {
                Some(stage) => format!("{} (stage {stage})", place.pipeline),
                None => place.pipeline.clone(),
            },
            None => self.spec.display().to_string(),
        }
    }

    /// What there is to say of where it ran, as name and value.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let place = self.place.as_ref();
        let known = [
            ("pipeline", place.map(|place| place.pipeline.clone())),
            ("stage", place.and_then(|place| place.stage.clone())),
            ("account", place.and_then(|place| place.account.clone())),
            ("region", place.and_then(|place| place.region.clone())),
            ("spec", Some(self.spec.display().to_string())),
            ("streamkit", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
