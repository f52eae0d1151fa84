//! What of a configuration is a case's own.
//!
//! Most of a configuration is the same for all objects. A case's file leaves that out: of the statements at the top and of those in
//! `http`, each with its block, it has those that the configuration without objects lacks, in their order. What that one has and the
//! case lacks is named in comments at the end, so that nothing is hidden.

use std::collections::HashSet;

use similar::TextDiff;

/// The statements of a configuration.
pub struct Frame {
    statements: Vec<String>,
}

impl Frame {
    /// The statements of a configuration as the writer prints it: a level is four spaces.
    pub fn of(configuration: &str) -> Self {
        let (mut statements, mut in_http, mut in_block) = (Vec::<String>::new(), false, false);
        for line in configuration.lines() {
            if line == "http {" || in_http && line == "}" {
                in_http = !in_http;
                continue;
            }
            let line = if in_http { line.strip_prefix("    ").unwrap_or(line) } else { line };
            match statements.last_mut() {
                Some(statement) if in_block => {
                    *statement += line;
                    in_block = line != "}";
                }
                _ => {
                    statements.push(line.to_owned());
                    in_block = line.ends_with('{');
                }
            }
            statements.last_mut().expect("a statement").push('\n');
        }
        Self { statements }
    }

    /// What a configuration has that this one has not, and in comments the reverse.
    pub fn excerpt(&self, configuration: &str) -> String {
        let other = Self::of(configuration);
        let (mine, theirs): (HashSet<_>, HashSet<_>) =
            (self.statements.iter().collect(), other.statements.iter().collect());
        let added = other.statements.iter().filter(|statement| !mine.contains(statement)).cloned();
        let lacks = self.statements.iter().filter(|statement| !theirs.contains(statement));
        let lacks = lacks.map(|statement| format!("# without: {}\n", statement.lines().next().unwrap_or_default()));
        added.chain(lacks).collect()
    }
}

/// The configuration with the same revision as every other, and modules where they would be on any machine.
pub fn without_revision(configuration: &str) -> String {
    let configuration = &configuration.replace(
        &testbed::nginx::debian_stream_module().display().to_string(),
        "/usr/lib/nginx/modules/ngx_stream_module.so",
    );
    let lines = configuration.lines().map(|line| {
        let told = line.trim_start().strip_prefix("return 200 ").is_some_and(|revision| {
            revision.len() == 33 && revision.trim_end_matches(';').bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if told {
            format!("{}return 200 REVISION;\n", &line[..line.len() - line.trim_start().len()])
        } else {
            format!("{line}\n")
        }
    });
    lines.collect()
}

/// The lines in which the second differs from the first, each with the line before and the line after it.
pub fn difference(first: &str, second: &str) -> Option<String> {
    let difference = TextDiff::from_lines(first, second);
    (first != second).then(|| difference.unified_diff().context_radius(1).to_string())
}
