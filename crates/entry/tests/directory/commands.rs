//! The commands that end by themselves.

use crate::common::{Bench, both, service};

#[test]
fn generate_writes_and_ends() {
    for nginx in both() {
        let bench = Bench::new(&nginx);
        bench.write("shop.yaml", &service("shop", 81));
        bench.ends(0, &["generate"]);
        let first = bench.offered();
        assert!(first.contains("127.0.0.1:81") && first.contains("/shop"), "{first}");
        bench.ends(0, &["generate"]);
        assert_eq!(bench.offered(), first);
    }
}
