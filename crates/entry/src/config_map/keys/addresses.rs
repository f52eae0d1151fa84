//! Proxies in front, and addresses of clients.

use ipnet::IpNet;
use nginx_conf::{HeaderName, TextPattern};

use super::{ConfigKey, left_out, not_followed_unless, read, unchanged};
use crate::config_map::key_context::{KeyContext, Remark};
use crate::config_map::shared_settings::SharedSettings;
use crate::config_map::values::{items, ranges, switch};

const NET_HINT: &str = "write addresses or ranges with commas, such as `10.0.0.0/8, 192.0.2.1`";

pub const KEYS: &[ConfigKey] = &[
    read(
        "proxy-real-ip-cidr",
        trusted,
        "The proxies in front that are believed, where `use-forwarded-headers` or `use-proxy-protocol` is on. As `--trusted`",
    ),
    read(
        "use-forwarded-headers",
        forwarded,
        "Whether `X-Forwarded-*` of the proxies in `proxy-real-ip-cidr` is believed. Without such a list nobody is, for else each client could choose its own address: ingress-nginx believes everybody then",
    ),
    read(
        "use-proxy-protocol",
        proxy_protocol,
        "Whether connections begin with the PROXY protocol. As `--proxy-protocol`; who is believed in it, `proxy-real-ip-cidr` says",
    ),
    read("forwarded-for-header", header, "The header in which proxies name the client, rather than `X-Forwarded-For`"),
    read(
        "compute-full-forwarded-for",
        full,
        "Whether backends get the whole `X-Forwarded-For` of a trusted proxy, with its own address added, as they do without this key; `false`: the client's address alone",
    ),
    read(
        "whitelist-source-range",
        allowed,
        "Who is served, where no annotation says otherwise; others get 403. Of a list in which no item can be used nobody is",
    ),
    read("denylist-source-range", denied, "Who gets 403, where no annotation says otherwise"),
    read("block-cidrs", blocked, "Who gets 403, whatever annotations say"),
    read(
        "block-user-agents",
        user_agents,
        "Whose `User-Agent` gets 403: texts with commas, or patterns after `~` or, without regard to case, `~*`. Of patterns there are texts, `.`, `.*`, `^`, `$`, `\\` before a sign, and `|` between alternatives, so that each takes little time",
    ),
    read("block-referers", referers, "Whose `Referer` gets 403, as for `block-user-agents`"),
    not_followed_unless(
        "enable-real-ip",
        &["false"],
        "the client's address comes from `X-Forwarded-For` where `use-forwarded-headers` is on",
    ),
    unchanged("forwarded-for-proxy-protocol-header", "With the PROXY protocol, its own address is the client's"),
    unchanged("forwarded-host-header", "The host of a trusted proxy is in `X-Forwarded-Host`"),
    not_followed_unless(
        "proxy-protocol-header-timeout",
        &["5s"],
        "the time for the head of a request is the one for the PROXY protocol too: `client-header-timeout`",
    ),
];

fn trusted(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (nets, wrong) = ranges(context.value)?;
    if nets.is_empty() {
        return Err(NET_HINT.to_owned());
    }
    let is_on = |name: &str| context.values.get(name).is_some_and(|value| switch(value.trim()) == Ok(true));
    let nginx = &mut settings.nginx;
    let is_used = is_on("use-forwarded-headers") || is_on("use-proxy-protocol") || nginx.proxy_protocol;
    if !is_used && nginx.trusted.is_empty() {
        return Ok(Remark::Note("It has no effect without `use-forwarded-headers` or `use-proxy-protocol`".to_owned()));
    }
    let everybody = nets.iter().any(|net| net.prefix_len() == 0);
    nginx.trusted = nets;
    match left_out(&wrong, NET_HINT) {
        Remark::None if everybody => {
            let message = "Everybody is believed: whoever reaches this entry can choose the address that backends, limits and the log \
                           see; list the addresses of the proxies in front";
            Ok(Remark::Note(message.to_owned()))
        }
        remark => Ok(remark),
    }
}

fn forwarded(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let nginx = &mut settings.nginx;
    if !switch(context.value)? {
        let by_proxy_protocol = nginx.proxy_protocol
            || context.values.get("use-proxy-protocol").is_some_and(|value| switch(value.trim()) == Ok(true));
        if !by_proxy_protocol {
            nginx.trusted.clear();
        }
        return Ok(Remark::None);
    }
    if nginx.trusted.is_empty() {
        return Err("nobody is known whose headers could be believed, and to believe everybody would let each client choose its own \
                    address: list the addresses of the proxies in front in `proxy-real-ip-cidr`, such as `10.0.0.0/8`"
            .to_owned());
    }
    Ok(Remark::None)
}

fn proxy_protocol(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.proxy_protocol = switch(context.value)?;
    if settings.nginx.check_proxy_protocol().is_ok() {
        return Ok(Remark::None);
    }
    let message = "Connections begin with the PROXY protocol, and nobody is believed in it, so that the address of the balancer counts as \
                   the client's: list the balancer's addresses in `proxy-real-ip-cidr`";
    Ok(Remark::Loss(message.to_owned()))
}

fn header(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let name = HeaderName::parse(context.value).ok_or("write the name of a header, such as `X-Real-IP`")?;
    settings.nginx.forwarded_for_header = name;
    Ok(Remark::None)
}

fn full(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    settings.nginx.keeps_forwarded_for = switch(context.value)?;
    Ok(Remark::None)
}

/// A list that closes: of one of which nothing can be used, nobody passes.
fn allowed(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (nets, wrong) = ranges(context.value)?;
    let filter = &mut settings.nginx.filter;
    if nets.is_empty() && !wrong.is_empty() {
        filter.denied = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
        let message = "No item of the list can be used, so that everybody gets 403 where no annotation says otherwise";
        return Ok(Remark::Loss(format!("{message}: {NET_HINT}")));
    }
    filter.allowed = nets;
    Ok(left_out(&wrong, NET_HINT))
}

fn denied(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    list(&mut settings.nginx.filter.denied, context)
}

fn blocked(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    list(&mut settings.nginx.filter.blocked, context)
}

fn list(nets: &mut Vec<IpNet>, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (found, wrong) = ranges(context.value)?;
    nets.extend(found);
    Ok(left_out(&wrong, NET_HINT))
}

fn user_agents(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    patterns(&mut settings.nginx.filter.user_agents, context)
}

fn referers(settings: &mut SharedSettings, context: &KeyContext<'_>) -> Result<Remark, String> {
    patterns(&mut settings.nginx.filter.referers, context)
}

fn patterns(patterns: &mut Vec<TextPattern>, context: &KeyContext<'_>) -> Result<Remark, String> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for item in items(context.value)? {
        match TextPattern::parse(item) {
            Some(pattern) => found.push(pattern),
            None => wrong.push(item),
        }
    }
    *patterns = found;
    Ok(left_out(&wrong, "write texts, or patterns such as `~*bot` of texts, `.`, `.*`, `^`, `$` and `|`"))
}
