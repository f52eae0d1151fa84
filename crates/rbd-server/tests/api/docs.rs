//! The reference as a page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::support::api;

#[test]
fn documentation_page_loads_nothing_from_other_hosts() {
    let answer = api().get("/docs").unwrap().expect(200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let page = answer.text();
    assert_eq!(api().get("/docs/").unwrap().expect(200).text(), page);
    // What a browser may load and run is what is in the page.
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for tag in ["script", "style"] {
        let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
        let (inside, after) = rest.split_once(&format!("</{tag}>")).unwrap();
        let hash = STANDARD.encode(Sha256::digest(inside));
        assert!(policy.contains(&format!("{tag}-src 'sha256-{hash}';")), "{policy}");
        assert!(!after.contains(&format!("<{tag}")), "a second <{tag}> would not be run");
    }
    for outside in ["src=", "href=\"http", "@import", "url(", "innerHTML", " style="] {
        assert!(!page.contains(outside), "{outside}");
    }
    let description = api().get("/openapi.json").unwrap().expect(200).json();
    assert_eq!(description["openapi"], "3.1.1");
    assert!(description["paths"]["/api/v1/pools"]["get"].is_object());
}
