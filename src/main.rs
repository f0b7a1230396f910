//! The `streamkit` command: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamkit::main()
}
