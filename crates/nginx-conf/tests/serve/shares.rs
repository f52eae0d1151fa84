//! A share is chosen by the number of the request, as the model does it.

use std::net::SocketAddr;

use entry_model::{Action, Destination};

use super::branches::weighted;
use super::support::{Echo as _, Nginx, backend, binaries, prefix, routes};

#[test]
fn request_goes_to_the_share_of_its_number() {
    let names = ["a", "b", "c"];
    let backends: Vec<(&str, SocketAddr)> = names.map(|name| (name, backend(name))).into();
    let weights = [[1, 1, 1], [0, 1, 999], [70, 0, 30], [u32::MAX, 1, u32::MAX]];
    for binary in binaries() {
        for weights in weights {
            let shares: Vec<_> =
                weights.into_iter().zip(&backends).map(|(weight, (_, address))| (weight, *address)).collect();
            let rule = weighted(prefix("/"), &shares);
            let Action::Forward(forward) = rule.action.clone() else { unreachable!("it forwards") };
            let nginx = Nginx::start(&binary, &routes([("*", vec![rule])]), |_| {});
            for _ in 0..100 {
                let answer = nginx.get("any", "/x", "");
                let id = answer.seen("X-Request-ID").unwrap();
                let chance = u64::from_str_radix(&id[..16], 16).unwrap();
                let Some(Destination::Backend(expected)) = forward.destination(chance) else {
                    unreachable!("some weight")
                };
                let found = backends.iter().find(|(name, _)| *name == answer.header("Backend")).unwrap().1;
                assert_eq!(Some(found), expected.address.cluster_ip(), "{id} of {weights:?}");
            }
        }
    }
}
