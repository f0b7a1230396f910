//! The function of streamkit's own recipes.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamkit_handler::run_named()
}
