//! Tells requests that a browser sends for a web page from those of AWS tools: no page may reach what runs code here.
//!
//! A page of any site can POST a form or `text/plain` to loopback, and GET by an image, without asking first. Browsers say so in
//! `Origin` (with every POST) and `Sec-Fetch-Site` (with every request to loopback); no AWS SDK sends either.
//! <https://developer.mozilla.org/docs/Web/HTTP/Headers/Sec-Fetch-Site>

use http::{HeaderMap, header};

/// Why a request is not answered; `None` for one that no web page can have sent.
pub fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    if !is_loopback(headers) {
        return Some("requests must be addressed to the loopback interface");
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
fn is_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "127.0.0.1" || name == "[::1]" || name == "localhost" || name.ends_with(".localhost")
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
            assert_eq!(refusal(&headers).is_none(), answered, "{name}: {value}");
        }
    }
}
