//! The exit codes that scripts rely on.

use std::process::ExitCode;

/// Done.
pub(crate) const DONE: ExitCode = ExitCode::SUCCESS;
/// Failed.
pub(crate) const FAILED: u8 = 1;
/// Bad usage or a bad spec.
pub(crate) const USAGE: u8 = 2;
/// `plan --exit-code` found changes.
pub(crate) const CHANGES: u8 = 3;
