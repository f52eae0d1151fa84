//! Secrets that are broken in many ways, and whether a text gives away anything of a key.

use std::collections::HashSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tls::Certificate;

/// All forms in which four bytes in a row of some keys could be printed.
pub struct Traces(Vec<HashSet<Vec<u8>>>);

impl Traces {
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a Certificate>) -> Traces {
        let mut found: Vec<HashSet<Vec<u8>>> = Vec::new();
        let mut add = |text: &[u8], length: usize| {
            found.resize_with(found.len().max(length + 1), HashSet::new);
            found[length].extend(text.windows(length).map(<[u8]>::to_vec));
        };
        for certificate in keys {
            let body: String = certificate.key.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(&body).unwrap();
            for bytes in [der.as_slice(), body.as_bytes()] {
                if bytes == der {
                    add(bytes, 4);
                }
                // Six characters have four bytes, and bits of their neighbours.
                (0..3).for_each(|skipped| add(&trimmed(&STANDARD.encode(&bytes[skipped..])), 6));
                bytes.windows(4).for_each(|four| written(four).iter().for_each(|text| add(text, text.len())));
            }
            add(body.as_bytes(), 6);
        }
        Traces(found)
    }

    /// What of a key is in a text.
    pub fn in_text<'a>(&self, text: &'a str) -> Option<&'a str> {
        let bytes = text.as_bytes();
        let at =
            |length: usize, traces: &HashSet<Vec<u8>>| bytes.windows(length).position(|part| traces.contains(part));
        let mut lengths = self.0.iter().enumerate().filter(|(_, traces)| !traces.is_empty());
        let (begin, length) = lengths.find_map(|(length, traces)| Some((at(length, traces)?, length)))?;
        let (begin, end) =
            (text.floor_char_boundary(begin.saturating_sub(60)), text.ceil_char_boundary(begin + length));
        Some(&text[begin..end])
    }

    #[track_caller]
    pub fn assert_none(&self, what: &str, text: &str) {
        if let Some(found) = self.in_text(text) {
            panic!("{what} shows a part of a key: …{found}");
        }
    }
}

/// Without the characters that depend on what comes before and after.
fn trimmed(text: &str) -> Vec<u8> {
    let text = text.trim_end_matches('=');
    text.as_bytes()[1..text.len() - 2].to_vec()
}

/// Bytes as numbers and as escapes.
fn written(bytes: &[u8]) -> Vec<Vec<u8>> {
    let each = |before: &str, between: &str, one: fn(&mut String, u8)| {
        let mut text = String::new();
        for (n, byte) in bytes.iter().enumerate() {
            text.push_str(if n == 0 { "" } else { between });
            text.push_str(before);
            one(&mut text, *byte);
        }
        text.into_bytes()
    };
    let decimal = |text: &mut String, byte| write!(text, "{byte}").unwrap();
    let lower = |text: &mut String, byte| write!(text, "{byte:02x}").unwrap();
    let upper = |text: &mut String, byte| write!(text, "{byte:02X}").unwrap();
    vec![
        each("", ", ", decimal),
        each("", ",", decimal),
        each("", "", lower),
        each("", "", upper),
        each("", ":", lower),
        each("", ":", upper),
        each("0x", ", ", lower),
        each("\\x", "", lower),
        each("\\u00", "", lower),
    ]
}

/// A way to break a text.
type Corruption = fn(&str) -> String;

const CORRUPTIONS: &[Corruption] = &[
    |text| text.replace('\n', "\\n"),
    |text| text.replace('\n', " "),
    |text| text.replace('\n', ""),
    |text| text.replace('\n', "\r\n"),
    |text| text.replace('\n', "\n\n"),
    |text| text.replace('\n', "\n  "),
    |text| text.replace('\n', "\n> "),
    |text| text.replace('\n', "\t"),
    |text| text.replace("-----", "----"),
    |text| text.replace("-----", "—"),
    |text| text.replace("-----", ""),
    |text| text.replace("-----\n", "-----"),
    |text| text.replacen("BEGIN", "BEGN", 1),
    |text| text.replacen("END", "FIN", 1),
    |text| text.replace("BEGIN ", ""),
    |text| text.replace("PRIVATE KEY", "SECRET").replace("CERTIFICATE", "CERT"),
    |text| text.replace("PRIVATE KEY", "CERTIFICATE"),
    |text| text.replace("CERTIFICATE", "PRIVATE KEY"),
    |text| text.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    |text| text.replace("PRIVATE KEY-----\n", "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n"),
    |text| text.lines().skip(1).map(|line| format!("{line}\n")).collect(),
    |text| text.lines().filter(|line| !line.starts_with('-')).collect(),
    |text| text.lines().rev().map(|line| format!("{line}\n")).collect(),
    |text| text[..text.len() / 3].to_owned(),
    |text| text[..text.len() / 2].to_owned(),
    |text| text[..text.len() - 30].to_owned(),
    |text| text[text.len() / 2..].to_owned(),
    |text| text[30..].to_owned(),
    |text| format!("\u{feff}{text}"),
    |text| format!("\"{text}\""),
    |text| format!("{text}{text}"),
    |text| STANDARD.encode(text),
    |text| STANDARD.encode(STANDARD.encode(text)),
    |text| format!("{:?}", text.as_bytes()),
    |text| text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")),
    |text| text.chars().flat_map(|c| [c, '\0']).collect(),
    |text| text.replace('A', "é"),
    |text| text.replace('B', "!"),
    |text| text.replacen("\nM", "\n", 1),
    |text| text.to_lowercase(),
    |_| String::new(),
];

/// Manifests of Secrets that are broken, by name, the names counted from `first`.
pub struct Broken {
    pub manifests: Vec<(String, String)>,
}

impl Broken {
    /// What an API server takes as well: any texts in `tls.crt` and `tls.key`.
    pub fn contents(own: &Certificate) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for corrupt in CORRUPTIONS {
            let both = format!("{}{}", own.key, own.pem);
            all.extend([
                (corrupt(&own.pem), own.key.clone()),
                (own.pem.clone(), corrupt(&own.key)),
                (corrupt(&own.key), own.pem.clone()),
                (corrupt(&both), corrupt(&both)),
                (corrupt(&both), String::new()),
                (format!("{}{}", own.pem, corrupt(&own.key)), own.key.clone()),
            ]);
        }
        all
    }

    /// In the forms of a manifest; some of them are no manifest at all.
    pub fn all(own: &Certificate) -> Broken {
        let contents = Broken::contents(own).into_iter();
        let mut manifests: Vec<String> = contents.map(|(crt, key)| of_data(&crt, &key)).collect();
        manifests.extend(texts(own));
        let named = manifests.into_iter().enumerate();
        Broken { manifests: named.map(|(n, text)| (format!("s{n}"), text.replace("NAME", &format!("s{n}")))).collect() }
    }
}

/// A Secret with these contents, whatever is in them.
fn of_data(crt: &str, key: &str) -> String {
    let [crt, key] = [crt, key].map(|text| STANDARD.encode(text));
    format!("{HEAD}data: {{ tls.crt: {crt:?}, tls.key: {key:?} }}\n")
}

const HEAD: &str = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: { name: NAME }\n";

/// What becomes of a Secret between an editor and a directory.
fn texts(own: &Certificate) -> Vec<String> {
    let (crt, key) = (&own.pem, &own.key);
    let block = |text: &str, by: &str| text.lines().map(|line| format!("{by}{line}\n")).collect::<String>();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let doubled = STANDARD.encode(STANDARD.encode(key));
    let json = |key: &str| {
        format!(
            "{{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"type\": \"kubernetes.io/tls\", \
             \"metadata\": {{\"name\": \"NAME\"}}, \"stringData\": {{\"tls.key\": {key}}}}}"
        )
    };
    let good = format!("stringData:\n  tls.crt: |\n{}  tls.key: |\n{}", block(crt, "    "), block(key, "    "));
    let annotated = |annotation: &str| {
        let head = HEAD.replace("{ name: NAME }", &format!("{{ name: NAME, annotations: {{ {annotation} }} }}"));
        format!("{head}{good}")
    };
    let mut all: Vec<String> = [
        // Not base64, not as deep as it should be, not a text.
        format!("data:\n  tls.key: |\n{}", block(key, "    ")),
        format!("data:\n  tls.key: {doubled}!\n"),
        format!("data:\n  tls.key: \"{}\"\n", body.replace('A', "*")),
        format!("data:\n  tls.key: {body}\n  tls.crt: {key:?}\n"),
        format!("stringData:\n  tls.key: |\n{}", block(key, "")),
        format!("stringData:\n  tls.key: {key}\n"),
        format!("stringData:\n  tls.key: \"{key}\n"),
        format!("stringData:\n  tls.key: '{key}\n"),
        format!("stringData:\n\ttls.key: {body}\n"),
        format!("stringData:\n  tls.key: *{body}\n"),
        format!("stringData:\n  tls.key: &{body}\n"),
        format!("stringData:\n  tls.key: !{body} x\n"),
        format!("stringData:\n  tls.key: !!binary {body}!\n"),
        format!("stringData:\n  tls.key: !!int {body}\n"),
        format!("stringData:\n  tls.key: [{body}]\n"),
        format!("stringData:\n  tls.key: {{{body}: x}}\n"),
        format!("stringData:\n  {body}:\n    {body}: [x]\n"),
        format!("stringData:\n  {body}: x\n  {body}: y\n"),
        format!("stringData:\n  ? |\n{}  : x\n  ? |\n{}  : x\n", block(key, "    "), block(key, "    ")),
        format!("stringData: {body}\n"),
        format!("stringData: [{body}]\n"),
        format!("data: {body}\n"),
        format!("data: {{ {body}: 1 }}\n"),
        format!("{body}: x\n"),
        format!("stringdata:\n  tls.key: |\n{}", block(key, "    ")),
        format!("immutable: {body}\n"),
        format!("{{{{ .Values.key }}}} {body}\n"),
        format!("data:\n  tls.key: {:?}\n", body.as_bytes()),
        format!("stringData:\n  tls.key: >\n{}\n", block(key, "    ")),
        format!("stringData: {{ tls.key: {key:?} }}}}\n"),
        format!("{good}{good}"),
    ]
    .iter()
    .map(|rest| format!("{HEAD}{rest}"))
    .collect();
    all.extend([
        annotated(&format!("kubectl.kubernetes.io/last-applied-configuration: {:?}", json(&format!("{key:?}")))),
        annotated(&format!("sparrow/x: {body}, {body}: x")),
        annotated(&format!("x: [{body}]")),
        format!("{HEAD}{good}").replace("{ name: NAME }", &format!("{{ name: {body} }}")),
        format!("{HEAD}{good}").replace("{ name: NAME }", &format!("{{ name: NAME, namespace: {body} }}")),
        format!("{HEAD}{good}").replace("{ name: NAME }", &format!("{{ name: NAME, {body}: x }}")),
        format!("{HEAD}{good}").replace("{ name: NAME }", &body),
        format!("{HEAD}{good}").replace("v1", &body),
        format!("{HEAD}{good}").replace("kubernetes.io/tls", &format!("[{body}]")),
        format!("{HEAD}{good}").replace("kind: Secret", "kind: Service"),
        format!("{HEAD}{good}").replace("kind: Secret", "kind: Service").replace("stringData:", "spec:"),
        format!("{HEAD}spec: {body}").replace("kind: Secret", "kind: Service"),
        format!("{HEAD}spec: {{ ports: [{{ port: {body} }}] }}").replace("kind: Secret", "kind: Service"),
        format!("{HEAD}{good}").replace("kind: Secret", &format!("kind: {body}")),
        json(&format!("\"{key}\"")),
        json(&format!("{key:?},")),
        json(&format!("\"\\x{body}\"")),
        json(&format!("\"{body}")),
        json(&body),
        json(&format!("[{key:?}]")),
        json(&format!("\"\\ud800{body}\"")),
        format!("apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Secret, metadata: {{name: NAME}}, data: {{x: {body}!}}}}\n- {body}\n"),
        key.clone(),
        crt.clone(),
    ]);
    all
}
