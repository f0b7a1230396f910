//! What ARNs, URLs and names say about the resources that they name.

/// The name in an ARN or a queue's URL; other names as they are.
pub fn resource_name(name: &str) -> String {
    if name.starts_with("http") {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    let Some(resource) = name.strip_prefix("arn:").and_then(|arn| arn.splitn(5, ':').nth(4)) else {
        return name.to_owned();
    };
    // The kind, where there is one, and what belongs to the thing: a table's stream, a log group's `:*`.
    let kinds = ["stream/", "table/", "role/", "key/", "function:", "log-group:", "alarm:", "event-source-mapping:"];
    let name = kinds.iter().find_map(|kind| resource.strip_prefix(kind)).unwrap_or(resource);
    let name = name.strip_suffix(":*").unwrap_or(name);
    name.split("/stream/").next().unwrap_or(name).to_owned()
}

/// FIFO queues and topics are known by their suffix, in lower case only; so are their ARNs.
pub fn is_fifo(name: &str) -> bool {
    name.strip_suffix(".fifo").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_arns() {
        assert_eq!(resource_name("arn:aws:dynamodb:r:1:table/t/stream/2026-01-01"), "t");
        assert_eq!(resource_name("arn:aws:logs:r:1:log-group:/aws/lambda/f:*"), "/aws/lambda/f");
    }
}
