//! Tells requests that a browser sends for a web page from those of AWS tools: no page may reach what runs code here.
//!
//! A page of any site can POST a form or `text/plain` to loopback, and GET by an image, without asking first. Browsers say so in
//! `Origin` (with every POST) and `Sec-Fetch-Site` (with every request to loopback); no AWS SDK sends either.
//! <https://developer.mozilla.org/docs/Web/HTTP/Headers/Sec-Fetch-Site>

use http::{HeaderMap, header};

/// Why a request is not answered; `None` for one that no web page can have sent. `allowed` are names and addresses, besides those
/// of loopback, that it may be addressed to.
pub fn refusal(headers: &HeaderMap, allowed: &[String]) -> Option<&'static str> {
    if !is_addressed_here(headers, allowed) {
        return Some("requests must be addressed to the loopback interface, or to a host that was allowed");
    }
    if headers.contains_key(header::ORIGIN) {
        return Some("requests of web pages (with an Origin header) are not answered");
    }
    // `none` is what a person typed into the address bar.
    if headers.get_all("sec-fetch-site").iter().any(|site| site != "none") {
        return Some("requests of web pages (with a Sec-Fetch-Site header) are not answered");
    }
    None
}

/// A page that resolves its own name to 127.0.0.1 still sends that name as Host.
fn is_addressed_here(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    allowed.iter().any(|host| host.eq_ignore_ascii_case(&name))
        || name == "127.0.0.1"
        || name == "[::1]"
        || name == "localhost"
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_page_sends_is_answered() {
        for (name, value, answered) in [
            ("host", "127.0.0.1:4566", true),
            ("host", "[::1]:4566", true),
            ("host", "bucket.s3.localhost:4566", true),
            ("host", "localhost.", true),
            ("host", "example.com:4566", false),
            ("host", "localhost.example.com", false),
            ("host", "127.0.0.1.example.com", false),
            ("host", "\u{e9}", false),
            ("origin", "https://example.com", false),
            ("origin", "http://127.0.0.1:4566", false),
            ("origin", "null", false),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "none", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
            assert_eq!(refusal(&headers, &[]).is_none(), answered, "{name}: {value}");
        }
    }

    #[test]
    fn allowed_hosts_are_answered_and_pages_on_them_are_not() {
        let allowed = ["Aws.test".to_owned()];
        for (host, origin, answered) in [
            ("aws.test:4566", None, true),
            ("AWS.TEST", None, true),
            ("localhost", None, true),
            ("other.test", None, false),
            ("x.aws.test", None, false),
            ("aws.test", Some("http://aws.test"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", http::HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert("origin", http::HeaderValue::from_static(origin));
            }
            assert_eq!(refusal(&headers, &allowed).is_none(), answered, "{host} {origin:?}");
        }
    }
}
