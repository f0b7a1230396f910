//! The operations of each service that rehearsal files may name.

/// `service:` lines, each followed by its operations.
const LIST: &str = include_str!("operations.txt");

/// Our names of all services.
pub(super) fn services() -> impl Iterator<Item = &'static str> + Clone {
    LIST.lines().filter_map(|line| line.strip_suffix(':'))
}

/// AWS's names of a service's operations.
pub(super) fn of(service: &str) -> impl Iterator<Item = &'static str> + Clone {
    LIST.lines()
        .skip_while(move |line| line.strip_suffix(':') != Some(service))
        .skip(1)
        .take_while(|line| !line.ends_with(':'))
        .flat_map(str::split_whitespace)
}
