//! Services with the label.

use entry_routes::{Kind, Outcome, Reason, ServiceKind};

use crate::support::{Objects, assert_routes, assert_verdict, exposed, object, port, service};

#[test]
fn a_service_is_served_at_its_name_without_it() {
    let built = Objects::new().service(exposed("volume", [])).service(service("hidden")).build();
    assert_routes(&built, &["* prefix /volume -> 10.0.0.1:80 http strip (Service shop/volume)"]);
    assert_verdict(&built, &object(Kind::Service, "volume"), Outcome::Accepted, &[]);
    assert_eq!(built.verdicts.len(), 1, "nothing is said of a Service without the label");
}

#[test]
fn a_headless_service_is_refused() {
    let mut headless = exposed("db", []);
    headless.kind = ServiceKind::Headless;
    headless.ports = vec![port("", 5432)];
    let built = Objects::new().service(headless).build();
    assert_routes(&built, &[]);
    let finding = ("spec.type", Reason::Unsupported, "use a Service with a cluster IP");
    assert_verdict(&built, &object(Kind::Service, "db"), Outcome::Refused, &[finding]);
}
