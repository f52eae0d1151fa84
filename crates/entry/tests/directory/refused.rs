//! Objects that nginx refuses: they are put aside until they change, and the others go on.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::common::{Bench, Program, backend, debian, eventually, service};

/// A template with a fault that only nginx finds: what a Service's port is, nginx answers, and it knows codes up to 999.
const TEMPLATE: &str = r"
worker_processes 1;
pid {{ settings.runtime }}/nginx.pid;
error_log {{ settings.error_log }} crit;
{% if settings.user %}
user {{ settings.user }};
{% endif %}
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path {{ settings.runtime }}/body;
    proxy_temp_path {{ settings.runtime }}/proxy;
    # TEMPORARY
    {{ control_server }}
    server {
        {% for address in settings.http %}
        listen {{ address }};
        {% endfor %}
        location / { return 404; }
        {% for route in routes %}
        # By its path it is known whose block this is.
        location {{ route.path }} {
            return {{ route.port }};
        }
        {% endfor %}
    }
}
";

/// The template for an nginx: Debian's has modules that want directories.
fn template(nginx: &Path) -> String {
    let directories = ["fastcgi", "uwsgi", "scgi"].iter().filter(|_| nginx == testbed::nginx::debian());
    let lines: String =
        directories.map(|name| format!("{name}_temp_path {{{{ settings.runtime }}}}/{name};\n")).collect();
    TEMPLATE.replace("# TEMPORARY\n", &lines)
}

/// With a template on an nginx, which needs no module.
fn with_template(nginx: &Path, template: &str) -> Bench {
    let mut bench = Bench::new(&Program { nginx: nginx.to_owned(), ..debian() }).without_flag("--nginx-module");
    let file = bench.path("template");
    fs::write(&file, template).unwrap();
    bench.flag("--template", file.display().to_string());
    bench
}

fn status(bench: &Bench, path: &str) -> u16 {
    bench.asks("any.example", path).0
}

#[test]
fn template_of_the_operator_is_served() {
    let (one, two) = (backend("one"), backend("two"));
    for nginx in testbed::nginx::both() {
        let forward = "proxy_pass http://{{ route.cluster_ip }}:{{ route.port }}/;";
        let bench = with_template(&nginx, &template(&nginx).replace("return {{ route.port }};", forward));
        bench.write("shop.yaml", &service("shop", one));
        let entry = bench.start(&["run"]);
        bench.answers("/shop", 200, "one");
        bench.write("shop.yaml", &service("shop", two));
        bench.write("blog.yaml", &service("blog", one));
        bench.answers("/shop", 200, "two");
        bench.answers("/blog", 200, "one");
        assert_eq!(bench.ends(0, &["render", "--diff"]).0, "");
        entry.terminate();
    }
}

#[test]
fn object_rejected_by_nginx_is_quarantined_until_it_changes() {
    for nginx in testbed::nginx::both() {
        let bench = with_template(&nginx, &template(&nginx));
        bench.write("good.yaml", &service("good", 204));
        let entry = bench.start(&["run"]);
        eventually("served", || status(&bench, "/good") == 204);
        // Two that nginx refuses, one after the other since it names one at a time, and one that is right.
        let bad = [service("bad1", 8081), service("bad2", 8082), service("fine", 201)];
        bench.write("more.yaml", &bad.join("---\n"));
        eventually("the others live", || status(&bench, "/fine") == 201);
        eventually("told", || entry.metric("findings{reason=\"RejectedByNginx\"}").to_string() == "2");
        assert_eq!(entry.metric("objects{outcome=\"rejected\"}").to_string(), "2");
        assert_eq!((status(&bench, "/good"), status(&bench, "/bad1")), (204, 404));
        entry.says("nginx rejected an object: the others go on without it");
        // What nginx said, without the directories of the machine, and what to do.
        entry.says("nginx rejects it: invalid return code \\\"8081\\\" in nginx.conf:");
        entry.says("Requests for its paths are answered 503, all else is served; correct it, and it is tried again");
        assert_eq!(entry.count("nginx_refused"), 2);
        eventually("all live", || entry.metric("generation_lag_seconds") == 0.0);
        // One is corrected; the other is changed, and no better.
        let better = [service("bad1", 202), service("bad2", 8083), service("fine", 201)];
        bench.write("more.yaml", &better.join("---\n"));
        eventually("lifted", || status(&bench, "/bad1") == 202);
        entry.says("8083");
        eventually("told", || entry.metric("findings{reason=\"RejectedByNginx\"}").to_string() == "1");
        // A change of others does not try it again.
        let refused = entry.count("nginx_refused");
        bench.write("good.yaml", &service("good", 205));
        eventually("followed", || status(&bench, "/good") == 205);
        assert_eq!(entry.count("nginx_refused"), refused);
        // A restart begins with what was served, and finds out again.
        entry.terminate();
        let entry = bench.start(&["run"]);
        eventually("served", || [status(&bench, "/good"), status(&bench, "/bad1")] == [205, 202]);
        eventually("told", || entry.metric("findings{reason=\"RejectedByNginx\"}").to_string() == "1");
        bench.remove("more.yaml");
        eventually("gone", || status(&bench, "/fine") == 404);
        eventually("told", || entry.metric("findings{reason=\"RejectedByNginx\"}").to_string() == "0");
        entry.terminate();
    }
}

#[test]
fn rejection_without_culprit_keeps_the_live_configuration() {
    for nginx in testbed::nginx::both() {
        let fault = "{% if routes | length > 1 %}\nnonsense on;\n{% endif %}\nhttp {";
        let bench = with_template(&nginx, &template(&nginx).replace("http {", fault));
        bench.write("good.yaml", &service("good", 204));
        let entry = bench.start(&["run"]);
        eventually("served", || status(&bench, "/good") == 204);
        bench.write("more.yaml", &service("more", 201));
        entry.says("nginx rejected the configuration, and not because of one object: the one in force stays");
        entry.says("unknown directive \\\"nonsense\\\"");
        // Once is enough, also when it is looked at again.
        sleep(Duration::from_secs(3));
        assert_eq!(entry.log().matches("and not because of one object").count(), 1);
        assert_eq!((status(&bench, "/good"), status(&bench, "/more")), (204, 404));
        assert_eq!(entry.count("nginx_refused"), 1);
        assert!(entry.metric("generation_lag_seconds") > 0.0);
        assert_eq!(entry.admin("/readyz").unwrap().status, 200, "it serves");
        bench.remove("good.yaml");
        eventually("good again", || status(&bench, "/more") == 201);
        eventually("told", || entry.metric("generation_lag_seconds") == 0.0);
        entry.terminate();
    }
}

#[test]
fn value_that_a_template_cannot_take_costs_its_object_only() {
    let nginx = testbed::nginx::newest();
    let bench = with_template(&nginx, &template(&nginx));
    let dollar = |name: &str, path: &str| {
        let metadata = format!("metadata:\n  annotations: {{ sparrow/path: \"{path}\" }}");
        service(name, 202).replacen("metadata:", &metadata, 1)
    };
    bench.write("good.yaml", &service("good", 204));
    // Two who ask for the same: the first keeps it, so nothing of the second is tried.
    bench.write("bad.yaml", &format!("{}---\n{}", dollar("bad1", "/a$b"), dollar("bad2", "/a$b")));
    let (out, _) = bench.ends(1, &["check"]);
    let why = "the value \"/a$b\" cannot stand here: it has a character that cannot be quoted";
    assert!(
        out.contains("Service default/bad1: Rejected: Unsupported: the template of this entry cannot take it"),
        "{out}"
    );
    assert!(out.contains(why) && out.contains("all else is served; correct it"), "{out}");
    assert!(out.contains("Service default/bad2: Rejected: metadata.annotations[sparrow/path]: Conflicted"), "{out}");
    assert!(out.ends_with("3 objects, 2 not served as asked for\n"), "{out}");
    let entry = bench.start(&["run"]);
    eventually("served", || status(&bench, "/good") == 204);
    assert_eq!(entry.metric("objects{outcome=\"rejected\"}").to_string(), "2");
    // Others go on.
    bench.write("more.yaml", &service("more", 201));
    eventually("followed", || status(&bench, "/more") == 201);
    assert_eq!(entry.metric("offer_failing").to_string(), "0");
    eventually("the newest is live", || entry.metric("generation_lag_seconds") <= 0.0);
    bench.write("bad.yaml", &dollar("bad1", "/ab"));
    eventually("lifted", || status(&bench, "/ab") == 202);
    assert_eq!(entry.metric("objects{outcome=\"rejected\"}").to_string(), "0");
    entry.terminate();
}

#[test]
fn failing_template_keeps_the_live_configuration() {
    let nginx = testbed::nginx::newest();
    let fault = "{% if routes | length > 1 %}{{ nothing }}{% endif %}\nhttp {";
    let bench = with_template(&nginx, &template(&nginx).replace("http {", fault));
    bench.write("good.yaml", &service("good", 204));
    bench.write("more.yaml", &service("more", 201));
    // From the start: not ready, and it says why.
    let entry = bench.start_unready(&["run"]);
    eventually("told", || {
        entry
            .admin("/readyz")
            .is_some_and(|answer| answer.status == 503 && answer.text().contains("no configuration is served yet"))
    });
    entry.says("undefined value");
    assert_eq!(entry.metric("offer_failing").to_string(), "1");
    // What is newest cannot even be offered.
    assert!(entry.metric("generation_lag_seconds") > 0.0);
    bench.ends(2, &["generate"]);
    bench.remove("more.yaml");
    entry.wait_ready();
    eventually("served", || status(&bench, "/good") == 204);
    assert_eq!(entry.metric("offer_failing").to_string(), "0");
    // And later.
    bench.write("more.yaml", &service("more", 201));
    eventually("told", || entry.metric("offer_failing") > 0.0 && entry.metric("generation_lag_seconds") > 0.0);
    assert_eq!((status(&bench, "/good"), entry.admin("/readyz").unwrap().status), (204, 200));
    bench.remove("good.yaml");
    eventually("good again", || status(&bench, "/more") == 201);
    entry.terminate();
}
