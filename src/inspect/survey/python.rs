//! Python, read by a parser.

use std::collections::HashMap;

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{
    Arguments, Expr, ExprCall, PySourceType, Stmt, StmtFor, StmtIf, StmtImport, StmtImportFrom,
    StmtTry,
};
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::{Ranged, TextRange};

use super::code::{PATH_MAX, Reading, Table, WALK_STACK_BYTES, sort_of};
use crate::domain::review::survey::Sort;

/// Modules, and what importing them means.
const MODULES: Table = &[
    (
        Sort::Network,
        &[
            "requests",
            "urllib.request",
            "urllib3",
            "http.client",
            "httpx",
            "aiohttp",
            "socket",
            "ftplib",
            "smtplib",
            "websocket",
            "websockets",
        ],
    ),
    (Sort::Programs, &["subprocess", "pty", "ctypes", "sh", "pexpect"]),
];

/// Calls, and what making them means.
const CALLS: Table = &[
    (
        Sort::Network,
        &[
            "requests.get",
            "requests.post",
            "requests.put",
            "requests.request",
            "httpx.get",
            "httpx.post",
            "httpx.request",
            "urllib.request.urlopen",
            "urllib.request.urlretrieve",
            "urllib.urlopen",
            "urllib2.urlopen",
            "socket.create_connection",
            "socket.socket",
            "socket.gethostbyname",
            "http.client.HTTPSConnection",
            "http.client.HTTPConnection",
        ],
    ),
    (
        Sort::Programs,
        &[
            "subprocess.run",
            "subprocess.call",
            "subprocess.check_call",
            "subprocess.Popen",
            "subprocess.check_output",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "os.system",
            "os.popen",
            "os.execl",
            "os.execle",
            "os.execlp",
            "os.execv",
            "os.execve",
            "os.execvp",
            "os.execvpe",
            "os.spawnl",
            "os.spawnv",
            "os.spawnve",
            "os.posix_spawn",
            "os.startfile",
            "pty.spawn",
        ],
    ),
    (Sort::DynamicCode, &["exec", "eval", "builtins.exec", "builtins.eval"]),
    (
        Sort::Decodes,
        &[
            "base64.b64decode",
            "base64.b32decode",
            "base64.b85decode",
            "base64.a85decode",
            "base64.urlsafe_b64decode",
            "base64.standard_b64decode",
            "base64.decodebytes",
            "zlib.decompress",
            "gzip.decompress",
            "bz2.decompress",
            "lzma.decompress",
            "binascii.unhexlify",
            "binascii.a2b_base64",
            "bytes.fromhex",
            "codecs.decode",
            "marshal.loads",
            "pickle.loads",
        ],
    ),
];

/// Calls that hand on every variable of the environment when it is what they are given.
const TAKES_ALL: [&str; 5] = ["dict", "json.dumps", "str", "repr", "list"];

/// Reads a file; `None` when it is not Python 3.
pub(super) fn read(text: &str) -> Option<Reading<'_>> {
    let parsed = parse_unchecked_source(text, PySourceType::Python);
    if !parsed.has_valid_syntax() {
        return None;
    }
    let mut walk =
        Walk { reading: Reading::new(text), names: HashMap::new(), later: 0, tries: 0, dynamic: 0 };
    for token in parsed.tokens().iter().filter(|token| token.kind() == TokenKind::Comment) {
        walk.reading.prose.push(bytes(token.range()));
    }
    walk.visit_body(&parsed.syntax().body);
    Some(walk.reading)
}

fn bytes(range: TextRange) -> std::ops::Range<usize> {
    range.start().to_usize()..range.end().to_usize()
}

struct Walk<'t> {
    reading: Reading<'t>,
    /// Local names of what is imported: `run` is `subprocess.run`.
    names: HashMap<String, String>,
    /// Functions, and blocks for the program alone, around this place.
    later: usize,
    /// `try` blocks around this place that survive a missing module.
    tries: usize,
    /// Calls around this place that run text as code.
    dynamic: usize,
}

impl Walk<'_> {
    fn module(&mut self, module: &str, at: usize) {
        self.reading.import(module, at, self.tries > 0);
        let parents = module.match_indices('.').map(|(dot, _)| &module[..dot]);
        if let Some(sort) = parents.chain([module]).find_map(|name| sort_of(MODULES, name)) {
            self.reading.mark(sort, at);
        }
    }

    /// What an expression stands for, as far as the file says so plainly.
    fn path(&self, expression: &Expr, left: usize) -> Option<String> {
        let left = left.checked_sub(1)?;
        match expression {
            Expr::Name(name) => {
                let name = name.id.as_str();
                Some(self.names.get(name).cloned().unwrap_or_else(|| name.to_owned()))
            }
            Expr::Attribute(member) => {
                Some(format!("{}.{}", self.path(&member.value, left)?, member.attr))
            }
            // `__import__("os").system`
            Expr::Call(call) => imported(&self.path(&call.func, left)?, &call.arguments),
            _ => None,
        }
    }

    fn called(&mut self, call: &ExprCall) {
        let at = call.range().start().to_usize();
        let Some(path) = self.path(&call.func, PATH_MAX) else { return };
        if let Some(module) = imported(&path, &call.arguments) {
            self.module(&module, at);
        }
        let environment = |expression: &Expr| {
            self.path(expression, PATH_MAX).is_some_and(|path| path == "os.environ")
        };
        let given = call.arguments.args.first().is_some_and(environment)
            || call.arguments.keywords.iter().any(|k| k.arg.is_none() && environment(&k.value));
        if (TAKES_ALL.contains(&path.as_str()) && given)
            || matches!(path.as_str(), "os.environ.items" | "os.environ.copy")
        {
            self.reading.mark(Sort::Environment, at);
        }
        let Some(sort) = sort_of(CALLS, &path) else { return };
        self.reading.call(sort, at, self.later == 0, self.dynamic > 0);
    }

    fn import(&mut self, import: &StmtImport) {
        let at = import.range.start().to_usize();
        for alias in &import.names {
            self.module(alias.name.as_str(), at);
            if let Some(local) = &alias.asname {
                self.names.insert(local.to_string(), alias.name.to_string());
            }
        }
    }

    fn import_from(&mut self, import: &StmtImportFrom) {
        let at = import.range.start().to_usize();
        let module = import.module.as_ref().map_or("", |module| module.as_str());
        let module = format!("{}{module}", ".".repeat(import.level as usize));
        self.module(&module, at);
        for alias in &import.names {
            let local = alias.asname.as_ref().unwrap_or(&alias.name);
            let full = format!("{module}.{}", alias.name);
            if let Some(sort) = sort_of(MODULES, &full) {
                self.reading.mark(sort, at);
            }
            self.names.insert(local.to_string(), full);
        }
    }

    /// Visits what is not run when the module is imported.
    fn later(&mut self, body: &[Stmt]) {
        self.later += 1;
        for statement in body {
            self.visit_stmt(statement);
        }
        self.later -= 1;
    }

    fn condition(&mut self, block: &StmtIf) {
        self.visit_expr(&block.test);
        match self.path(&block.test, PATH_MAX).as_deref() {
            // Seen by type checkers and by nobody who runs it.
            Some("TYPE_CHECKING" | "typing.TYPE_CHECKING") => {}
            _ if is_for_the_program(&block.test) => self.later(&block.body),
            _ => block.body.iter().for_each(|statement| self.visit_stmt(statement)),
        }
        for clause in &block.elif_else_clauses {
            if let Some(test) = &clause.test {
                self.visit_expr(test);
            }
            clause.body.iter().for_each(|statement| self.visit_stmt(statement));
        }
    }

    fn attempt(&mut self, block: &StmtTry) {
        self.tries += 1;
        block.body.iter().for_each(|statement| self.visit_stmt(statement));
        for handler in &block.handlers {
            // What it does instead is as optional.
            ruff_python_ast::visitor::walk_except_handler(self, handler);
        }
        self.tries -= 1;
        let rest = block.orelse.iter().chain(&block.finalbody);
        rest.for_each(|statement| self.visit_stmt(statement));
    }

    fn each(&mut self, block: &StmtFor) {
        if self.path(&block.iter, PATH_MAX).is_some_and(|path| path == "os.environ") {
            self.reading.mark(Sort::Environment, block.range.start().to_usize());
        }
    }
}

/// `if __name__ == "__main__":`
fn is_for_the_program(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    matches!(&*compare.left, Expr::Name(name) if name.id.as_str() == "__name__")
}

/// The module that `__import__("x")` and `importlib.import_module("x")` name.
fn imported(path: &str, arguments: &Arguments) -> Option<String> {
    let imports = matches!(path, "__import__" | "importlib.import_module" | "import_module");
    match arguments.args.first() {
        Some(Expr::StringLiteral(text)) if imports => Some(text.value.to_str().to_owned()),
        _ => None,
    }
}

impl<'a> Visitor<'a> for Walk<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let (left, more) = WALK_STACK_BYTES;
        stacker::maybe_grow(left, more, || match stmt {
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::If(block) => self.condition(block),
            Stmt::Try(block) => self.attempt(block),
            Stmt::FunctionDef(function) => {
                for decorator in &function.decorator_list {
                    self.visit_decorator(decorator);
                }
                self.visit_parameters(&function.parameters);
                self.later(&function.body);
            }
            Stmt::Expr(alone) if alone.value.is_string_literal_expr() => {
                // A text that stands alone is documentation.
                self.reading.prose.push(bytes(alone.range()));
            }
            Stmt::For(block) => {
                self.each(block);
                walk_stmt(self, stmt);
            }
            _ => walk_stmt(self, stmt),
        });
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        let (left, more) = WALK_STACK_BYTES;
        stacker::maybe_grow(left, more, || match expr {
            Expr::Call(call) => {
                self.called(call);
                let runs_text = self
                    .path(&call.func, PATH_MAX)
                    .is_some_and(|path| sort_of(CALLS, &path) == Some(Sort::DynamicCode));
                self.dynamic += usize::from(runs_text);
                walk_expr(self, expr);
                self.dynamic -= usize::from(runs_text);
            }
            Expr::Lambda(_) => {
                self.later += 1;
                walk_expr(self, expr);
                self.later -= 1;
            }
            _ => walk_expr(self, expr),
        });
    }

    // Annotations name types and run nothing of interest.
    fn visit_annotation(&mut self, _: &'a Expr) {}
}
