//! What is served follows the manifests.

use crate::common::{Bench, backend, both, eventually, service};

#[test]
fn what_is_edited_is_served_and_what_is_removed_is_not() {
    let (one, two) = (backend("one"), backend("two"));
    for nginx in both() {
        let bench = Bench::new(&nginx);
        bench.write("shop.yaml", &service("shop", one));
        let entry = bench.start(&["run"]);
        let answer = bench.get("any.example", "/shop/a%2Fb?c").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "/a%2Fb?c"));
        // Live.
        bench.write("shop.yaml", &service("shop", two));
        bench.answers("/shop", 200, "two");
        bench.write("blog.yaml", &service("blog", one));
        bench.answers("/blog/", 200, "one");
        assert_eq!(bench.asks("any.example", "/shop"), (200, "two".to_owned()));
        bench.remove("shop.yaml");
        bench.answers("/shop", 404, "");
        assert_eq!(bench.asks("any.example", "/blog"), (200, "one".to_owned()));
        // What is told of it.
        let page = entry.admin("/").unwrap().body;
        assert!(page.contains("prefix /blog") && !page.contains("/shop"), "{page}");
        let [routes, accepted] = ["routes", "objects{outcome=\"accepted\"}"].map(|name| entry.metric(name));
        assert_eq!((routes.to_string(), accepted.to_string()), ("1".to_owned(), "1".to_owned()));
        eventually("live", || entry.metric("generation_lag_seconds").to_string() == "0");
        assert_eq!((entry.count("generations"), entry.count("nginx_reloads")), (4, 3));
        // It takes nginx with it.
        entry.terminate();
        assert!(bench.get("any.example", "/blog").is_none());
    }
}
