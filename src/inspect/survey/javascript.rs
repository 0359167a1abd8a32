//! JavaScript and TypeScript, read by a parser.

use std::collections::{HashMap, HashSet};

use oxc_allocator::Allocator;
use oxc_ast::ast::{
    Argument, ArrowFunctionExpression, BindingPattern, CallExpression, Declaration,
    ExportAllDeclaration, ExportFromDeclaration, Expression, ForInStatement, Function,
    ImportDeclaration, ImportDeclarationSpecifier, ImportExpression, JSXElement, JSXFragment,
    NewExpression, Program, PropertyDefinition, SpreadElement, Statement,
    TSImportEqualsDeclaration, TSModuleReference, TSType, TryStatement, VariableDeclarator,
};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::{ParseOptions, Parser};
use oxc_span::{GetSpan, SourceType};
use oxc_syntax::scope::ScopeFlags;

use super::code::{PATH_MAX, Reading, Table, WALK_STACK_BYTES, sort_of};
use crate::domain::review::survey::{Parsed, Sort};

/// Deepest place of the tree that is looked at. Sums of many parts are deep trees without any nesting.
const WALK_MAX: usize = 100_000;

/// Modules, without `node:`, and what naming them means.
const MODULES: Table = &[
    (
        Sort::Network,
        &[
            "http",
            "https",
            "http2",
            "net",
            "tls",
            "dgram",
            "dns",
            "dns/promises",
            "undici",
            "axios",
            "node-fetch",
            "got",
            "request",
            "superagent",
            "ws",
        ],
    ),
    (Sort::Programs, &["child_process", "worker_threads", "execa", "cross-spawn", "shelljs"]),
    (Sort::DynamicCode, &["vm"]),
];

/// Calls, and what making them means; `@` stands before what comes from a module.
const CALLS: Table = &[
    (
        Sort::Network,
        &[
            "fetch",
            "XMLHttpRequest",
            "WebSocket",
            "EventSource",
            "navigator.sendBeacon",
            "@http.get",
            "@http.request",
            "@https.get",
            "@https.request",
            "@http2.connect",
            "@net.connect",
            "@net.createConnection",
            "@tls.connect",
            "@dgram.createSocket",
            "@dns.lookup",
            "@dns.resolve",
            "@dns.resolve4",
            "@dns.resolveTxt",
            "@axios",
            "@axios.get",
            "@axios.post",
            "@axios.put",
            "@axios.request",
            "@got",
            "@got.get",
            "@got.post",
            "@node-fetch",
            "@undici.fetch",
            "@undici.request",
            "@request",
            "@request.get",
            "@request.post",
            "@superagent.get",
            "@superagent.post",
        ],
    ),
    (
        Sort::Programs,
        &[
            "@child_process.exec",
            "@child_process.execSync",
            "@child_process.execFile",
            "@child_process.execFileSync",
            "@child_process.spawn",
            "@child_process.spawnSync",
            "@child_process.fork",
            "@execa.execa",
            "@execa.execaSync",
            "@cross-spawn",
            "@cross-spawn.sync",
            "@shelljs.exec",
            "@worker_threads.Worker",
            "process.binding",
            "process.dlopen",
        ],
    ),
    (
        Sort::DynamicCode,
        &[
            "eval",
            "Function",
            "@vm.runInThisContext",
            "@vm.runInNewContext",
            "@vm.runInContext",
            "@vm.Script",
            "@vm.compileFunction",
        ],
    ),
    (
        Sort::Decodes,
        &[
            "atob",
            "unescape",
            "@zlib.inflateSync",
            "@zlib.gunzipSync",
            "@zlib.unzipSync",
            "@zlib.brotliDecompressSync",
            "@zlib.inflateRawSync",
        ],
    ),
];

/// Calls that hand on every variable of the environment when it is what they are given.
const TAKES_ALL: [&str; 4] = ["JSON.stringify", "Object.keys", "Object.entries", "Object.values"];
/// Names of the object that holds the global names.
const GLOBALS: [&str; 4] = ["globalThis", "window", "self", "global"];

/// Reads a file, or says why not.
pub(super) fn read<'t>(path: &str, text: &'t str) -> Result<Reading<'t>, Parsed> {
    let allocator = Allocator::default();
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let parsed = Parser::new(&allocator, text, language(path)).with_options(options).parse();
    if parsed.panicked {
        return Err(Parsed::Broken);
    }
    let mut walk = Walk::new(text);
    walk.bound = bound(&parsed.program);
    walk.visit_program(&parsed.program);
    if walk.too_deep {
        return Err(Parsed::TooDeep);
    }
    let mut reading = walk.reading;
    reading.prose = parsed
        .program
        .comments
        .iter()
        .map(|comment| comment.span.start as usize..comment.span.end as usize)
        .collect();
    Ok(reading)
}

fn language(path: &str) -> SourceType {
    match path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
        Some("ts" | "mts" | "cts") => SourceType::ts(),
        Some("tsx") => SourceType::tsx(),
        Some("mjs") => SourceType::mjs().with_jsx(true),
        Some("cjs") => SourceType::script().with_jsx(true),
        _ => SourceType::unambiguous().with_jsx(true),
    }
}

/// Names that the file itself gives a meaning at its top, so that they are not the global ones.
fn bound(program: &Program<'_>) -> HashSet<String> {
    let mut names = HashSet::new();
    for statement in &program.body {
        let declaration = match statement {
            Statement::ExportDeclaration(export) => Some(&export.declaration),
            other => other.as_declaration(),
        };
        match declaration {
            Some(Declaration::FunctionDeclaration(function)) => {
                names.extend(function.id.as_ref().map(|id| id.name.to_string()));
            }
            Some(Declaration::VariableDeclaration(variables)) => {
                for variable in &variables.declarations {
                    names.extend(variable.id.get_identifier_name().map(|name| name.to_string()));
                }
            }
            _ => {}
        }
    }
    names
}

struct Walk<'t> {
    reading: Reading<'t>,
    /// Local names of what comes from modules: `run` is `@child_process.exec`.
    names: HashMap<String, String>,
    /// Names that are not the global ones.
    bound: HashSet<String>,
    /// Functions around this place that nobody has called yet.
    functions: usize,
    /// Where the function begins that is called right where it stands.
    called_here: Option<u32>,
    /// `try` blocks around this place.
    tries: usize,
    /// Calls around this place that run text as code.
    dynamic: usize,
    /// Expressions, statements and elements around this place.
    depth: usize,
    /// Something was left out for being deeper than [`WALK_MAX`].
    too_deep: bool,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            reading: Reading::new(text),
            names: HashMap::new(),
            bound: HashSet::new(),
            functions: 0,
            called_here: None,
            tries: 0,
            dynamic: 0,
            depth: 0,
            too_deep: false,
        }
    }

    /// Visits one level deeper, on more stack where it is needed.
    fn deeper(&mut self, visit: impl FnOnce(&mut Self)) {
        if self.depth == WALK_MAX {
            self.too_deep = true;
            return;
        }
        let (left, more) = WALK_STACK_BYTES;
        self.depth += 1;
        stacker::maybe_grow(left, more, || visit(self));
        self.depth -= 1;
    }

    /// A module is named: what that means, and how its members are called from now on.
    fn module(&mut self, module: &str, at: u32) -> String {
        let origin = origin(module);
        self.reading.import(module, at as usize, self.tries > 0);
        if let Some(sort) = sort_of(MODULES, &origin[1..]) {
            self.reading.mark(sort, at as usize);
        }
        origin
    }

    /// What an expression stands for, as far as the file says so plainly.
    fn path(&self, expression: &Expression<'_>, left: usize) -> Option<String> {
        let left = left.checked_sub(1)?;
        match expression.get_inner_expression() {
            Expression::Identifier(id) => {
                let name = id.name.as_str();
                Some(self.names.get(name).cloned().unwrap_or_else(|| name.to_owned()))
            }
            Expression::AwaitExpression(awaited) => self.path(&awaited.argument, left),
            Expression::SequenceExpression(all) => self.path(all.expressions.last()?, left),
            Expression::ImportExpression(import) => Some(origin(&imported(&import.source)?.0)),
            Expression::CallExpression(call) => {
                let first = call.arguments.first().and_then(Argument::as_expression)?;
                if self.is_require(&call.callee) {
                    return Some(origin(&imported(first)?.0));
                }
                // `__importStar(require("x"))`, `promisify(run)`: still the same thing.
                let inner = self.path(first, left)?;
                inner.starts_with('@').then_some(inner)
            }
            other => {
                let member = other.as_member_expression()?;
                let name = member.static_property_name()?;
                let object = self.path(member.object(), left)?;
                Some(match name {
                    _ if GLOBALS.contains(&object.as_str()) => name.to_owned(),
                    "default" if object.starts_with('@') => object,
                    name => format!("{object}.{name}"),
                })
            }
        }
    }

    fn is_require(&self, callee: &Expression<'_>) -> bool {
        self.path(callee, PATH_MAX).is_some_and(|path| {
            matches!(
                path.rsplit('.').next(),
                Some("require" | "getBuiltinModule" | "__require" | "requireFunc")
            ) && !path.starts_with('@')
        })
    }

    /// A call or construction: what it means.
    fn called(&mut self, callee: &Expression<'_>, arguments: &[Argument<'_>], at: u32) {
        if let Some(first) = arguments.first().and_then(Argument::as_expression)
            && self.is_require(callee)
            && let Some((module, pieces)) = imported(first)
        {
            if pieces > 1 {
                self.reading.mark(Sort::Obfuscated, at as usize);
            }
            self.module(&module, at);
            return;
        }
        let Some(path) = self.path(callee, PATH_MAX) else { return };
        if TAKES_ALL.contains(&path.as_str()) || path == "Object.assign" {
            let skipped = usize::from(path == "Object.assign");
            let mut given = arguments.iter().skip(skipped).filter_map(Argument::as_expression);
            if given.any(|argument| self.is_environment(argument)) {
                self.reading.mark(Sort::Environment, at as usize);
            }
        }
        let Some(sort) = self.sort(&path, arguments) else { return };
        self.reading.call(sort, at as usize, self.functions == 0, self.dynamic > 0);
    }

    fn sort(&self, path: &str, arguments: &[Argument<'_>]) -> Option<Sort> {
        let first = path.split('.').next().unwrap_or_default();
        if self.bound.contains(first) {
            return None;
        }
        if path == "Buffer.from" {
            let encoding = arguments.get(1).and_then(Argument::as_expression);
            let decodes = |text: &str| matches!(text, "base64" | "base64url" | "hex");
            return encoding.and_then(literal).filter(|t| decodes(t)).map(|_| Sort::Decodes);
        }
        let sort = sort_of(CALLS, path)?;
        // The usual way to ask for the global object runs nothing.
        let harmless = path == "Function"
            && arguments.first().and_then(Argument::as_expression).and_then(literal)
                == Some("return this");
        (!harmless).then_some(sort)
    }

    fn is_environment(&self, expression: &Expression<'_>) -> bool {
        self.path(expression, PATH_MAX).is_some_and(|path| path == "process.env")
    }

    /// Runs a part of the walk that belongs to a function which nobody has called yet.
    fn later(&mut self, at: u32, visit: impl FnOnce(&mut Self)) {
        let now = self.called_here.take() == Some(at);
        self.functions += usize::from(!now);
        visit(self);
        self.functions -= usize::from(!now);
    }

    /// Visits a call, and knows inside whether it runs text as code.
    fn within(&mut self, callee: &Expression<'_>, visit: impl FnOnce(&mut Self)) {
        let runs_text = self
            .path(callee, PATH_MAX)
            .is_some_and(|path| sort_of(CALLS, &path) == Some(Sort::DynamicCode));
        self.dynamic += usize::from(runs_text);
        visit(self);
        self.dynamic -= usize::from(runs_text);
    }

    /// A function that is called where it stands: `(() => {})()`, `(function () {}).call(this)`.
    fn note_immediate(&mut self, callee: &Expression<'_>) {
        let callee = callee.get_inner_expression();
        let object = callee
            .as_member_expression()
            .filter(|member| matches!(member.static_property_name(), Some("call" | "apply")))
            .map_or(callee, |member| member.object().get_inner_expression());
        if object.is_function() {
            self.called_here = Some(object.span().start);
        }
    }
}

/// The text of a literal.
fn literal<'a>(expression: &'a Expression<'_>) -> Option<&'a str> {
    match expression.get_inner_expression() {
        Expression::StringLiteral(text) => Some(text.value.as_str()),
        Expression::TemplateLiteral(text) if text.quasis.len() == 1 => {
            text.quasis.first()?.value.cooked.as_ref().map(oxc_ast::ast::Str::as_str)
        }
        _ => None,
    }
}

/// The module that an argument names, and from how many literals it is put together.
fn imported(argument: &Expression<'_>) -> Option<(String, usize)> {
    fn collect(expression: &Expression<'_>, into: &mut String, left: usize) -> Option<usize> {
        let left = left.checked_sub(1)?;
        if let Some(text) = literal(expression) {
            into.push_str(text);
            return Some(1);
        }
        match expression.get_inner_expression() {
            Expression::BinaryExpression(sum) if sum.operator.as_str() == "+" => {
                Some(collect(&sum.left, into, left)? + collect(&sum.right, into, left)?)
            }
            _ => None,
        }
    }
    let mut module = String::new();
    let pieces = collect(argument, &mut module, PATH_MAX)?;
    Some((module, pieces))
}

/// What stands for a module itself in the names that are followed.
fn origin(module: &str) -> String {
    format!("@{}", module.strip_prefix("node:").unwrap_or(module))
}

impl<'a> Visit<'a> for Walk<'_> {
    fn visit_expression(&mut self, it: &Expression<'a>) {
        self.deeper(|walk| walk::walk_expression(walk, it));
    }

    fn visit_statement(&mut self, it: &Statement<'a>) {
        self.deeper(|walk| walk::walk_statement(walk, it));
    }

    fn visit_jsx_element(&mut self, it: &JSXElement<'a>) {
        self.deeper(|walk| walk::walk_jsx_element(walk, it));
    }

    fn visit_jsx_fragment(&mut self, it: &JSXFragment<'a>) {
        self.deeper(|walk| walk::walk_jsx_fragment(walk, it));
    }

    fn visit_binding_pattern(&mut self, it: &BindingPattern<'a>) {
        self.deeper(|walk| walk::walk_binding_pattern(walk, it));
    }

    // Types run nothing.
    fn visit_ts_type(&mut self, _: &TSType<'a>) {}

    fn visit_import_declaration(&mut self, it: &ImportDeclaration<'a>) {
        if it.import_kind.is_type() {
            return;
        }
        let module = self.module(&it.source.value, it.span.start);
        for specifier in it.specifiers.iter().flatten() {
            let (local, path) = match specifier {
                ImportDeclarationSpecifier::ImportSpecifier(one) => {
                    (&one.local, format!("{module}.{}", one.imported.name()))
                }
                ImportDeclarationSpecifier::ImportDefaultSpecifier(one) => {
                    (&one.local, module.clone())
                }
                ImportDeclarationSpecifier::ImportNamespaceSpecifier(one) => {
                    (&one.local, module.clone())
                }
            };
            self.names.insert(local.name.to_string(), path);
        }
    }

    fn visit_export_from_declaration(&mut self, it: &ExportFromDeclaration<'a>) {
        if !it.export_kind.is_type() {
            self.module(&it.source.value, it.span.start);
        }
    }

    fn visit_export_all_declaration(&mut self, it: &ExportAllDeclaration<'a>) {
        if !it.export_kind.is_type() {
            self.module(&it.source.value, it.span.start);
        }
    }

    fn visit_import_expression(&mut self, it: &ImportExpression<'a>) {
        if let Some((module, pieces)) = imported(&it.source) {
            if pieces > 1 {
                self.reading.mark(Sort::Obfuscated, it.span.start as usize);
            }
            self.module(&module, it.span.start);
        }
        walk::walk_import_expression(self, it);
    }

    fn visit_ts_import_equals_declaration(&mut self, it: &TSImportEqualsDeclaration<'a>) {
        if let TSModuleReference::ExternalModuleReference(module) = &it.module_reference
            && !it.import_kind.is_type()
        {
            let path = self.module(&module.expression.value, it.span.start);
            self.names.insert(it.id.name.to_string(), path);
        }
    }

    fn visit_variable_declarator(&mut self, it: &VariableDeclarator<'a>) {
        let from = it.init.as_ref().and_then(|init| self.path(init, PATH_MAX));
        if let Some(from) = from.filter(|from| from.starts_with('@')) {
            match &it.id {
                BindingPattern::BindingIdentifier(id) => {
                    self.bound.remove(id.name.as_str());
                    self.names.insert(id.name.to_string(), from);
                }
                BindingPattern::ObjectPattern(object) => {
                    for property in &object.properties {
                        let key = property.key.static_name();
                        let local = property.value.get_identifier_name();
                        if let (Some(key), Some(local)) = (key, local) {
                            self.names.insert(local.to_string(), format!("{from}.{key}"));
                        }
                    }
                }
                _ => {}
            }
        }
        walk::walk_variable_declarator(self, it);
    }

    fn visit_call_expression(&mut self, it: &CallExpression<'a>) {
        self.called(&it.callee, &it.arguments, it.span.start);
        self.note_immediate(&it.callee);
        self.within(&it.callee, |walk| walk::walk_call_expression(walk, it));
    }

    fn visit_new_expression(&mut self, it: &NewExpression<'a>) {
        self.called(&it.callee, &it.arguments, it.span.start);
        self.within(&it.callee, |walk| walk::walk_new_expression(walk, it));
    }

    fn visit_spread_element(&mut self, it: &SpreadElement<'a>) {
        if self.is_environment(&it.argument) {
            self.reading.mark(Sort::Environment, it.span.start as usize);
        }
        walk::walk_spread_element(self, it);
    }

    fn visit_for_in_statement(&mut self, it: &ForInStatement<'a>) {
        if self.is_environment(&it.right) {
            self.reading.mark(Sort::Environment, it.span.start as usize);
        }
        walk::walk_for_in_statement(self, it);
    }

    fn visit_function(&mut self, it: &Function<'a>, flags: ScopeFlags) {
        self.later(it.span.start, |walk| walk::walk_function(walk, it, flags));
    }

    fn visit_arrow_function_expression(&mut self, it: &ArrowFunctionExpression<'a>) {
        self.later(it.span.start, |walk| walk::walk_arrow_function_expression(walk, it));
    }

    fn visit_property_definition(&mut self, it: &PropertyDefinition<'a>) {
        if it.r#static {
            walk::walk_property_definition(self, it);
        } else {
            self.later(u32::MAX, |walk| walk::walk_property_definition(walk, it));
        }
    }

    fn visit_try_statement(&mut self, it: &TryStatement<'a>) {
        self.tries += 1;
        self.visit_block_statement(&it.block);
        self.tries -= 1;
        if let Some(handler) = &it.handler {
            self.visit_catch_clause(handler);
        }
        if let Some(last) = &it.finalizer {
            self.visit_block_statement(last);
        }
    }
}
