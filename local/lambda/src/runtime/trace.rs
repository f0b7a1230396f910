//! The X-Ray tracing header that a function gets: <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>.

use streamkit_wire::clock;
use uuid::Uuid;

/// The header for one invocation. It goes on with the caller's trace, where there is one in the right form; the caller's decision
/// whether to sample it counts, else active tracing does.
pub(crate) fn header(given: Option<&str>, active: bool) -> String {
    let part = |name: &str| {
        let mut parts = given?.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let root = part("Root").filter(|root| is_root(root)).map_or_else(new_root, str::to_owned);
    let parent = part("Parent").filter(|parent| is_hex(parent, 16)).map_or_else(new_parent, str::to_owned);
    let sampled =
        part("Sampled").filter(|sampled| matches!(*sampled, "0" | "1")).unwrap_or(if active { "1" } else { "0" });
    format!("Root={root};Parent={parent};Sampled={sampled}")
}

fn is_root(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), ["1", time, id] if is_hex(time, 8) && is_hex(id, 24))
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn new_root() -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("1-{:08x}-{}", clock::now_ms() / 1000, &id[..24])
}

fn new_parent() -> String {
    let id = Uuid::new_v4().simple().to_string();
    id[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "1-5759e988-bd862e3fe1be46a994272793";

    #[test]
    fn trace_of_the_caller_goes_on() {
        let given = format!("Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1");
        assert_eq!(header(Some(&given), false), given);
        let unsampled = header(Some(&format!("Root={ROOT};Sampled=0")), true);
        assert!(unsampled.starts_with(&format!("Root={ROOT};Parent=")) && unsampled.ends_with(";Sampled=0"));
    }

    #[test]
    fn without_a_trace_of_the_right_form_a_new_one_begins_sampled_as_configured() {
        for (given, active, sampled) in [(None, true, ";Sampled=1"), (Some("Root=1-2-3"), false, ";Sampled=0")] {
            let made = header(given, active);
            let root = made.split(';').next().and_then(|part| part.strip_prefix("Root="));
            assert!(root.is_some_and(is_root) && made.ends_with(sampled), "{made}");
            assert_eq!(made.len(), "Root=;Parent=;Sampled=1".len() + ROOT.len() + 16);
        }
    }
}
