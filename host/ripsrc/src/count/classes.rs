//! What a line is: code, comment or blank, and how many decisions it holds; a small machine that reads one line at a
//! time. What follows from a line depends on nothing but the language, the state in which the line begins, and its
//! bytes, so `memo.rs` may remember it. Which tokens a language has is told in `syntaxes.rs`.
//!
//! The machine counts as `scc` does: a line with any code is code, also when a comment stands beside it; blank lines
//! within a block comment are comment and within a string code; a documentation string that stands alone is comment; a
//! decision counts when no letter, digit or underscore stands before it. Where it knows better than `scc`, it differs:
//! - A string that cannot span lines ends with its line (unless a backslash continues it), so that a stray quote
//!   spoils one line and not the rest of the file.
//! - Character literals are known, `'"'` does not open a string, and neither does the apostrophe of a lifetime.
//! - Raw strings with any delimiter, long brackets, dollar quotes and here-documents are known.
//! - Comments that exist only at the start of a line, or of a word, are only seen there; only kinds of comments that do
//!   nest are nested.

use super::syntaxes::{At, Quote, Special, Syntax};
use super::without_end;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Code,
    Comment,
    Blank,
}

impl Class {
    /// The letter that stands for it in `classes`.
    pub fn letter(self) -> char {
        match self {
            Class::Code => 'c',
            Class::Comment => 'm',
            Class::Blank => 'b',
        }
    }
}

/// The state between two lines: within code, a block comment or a string of which kind, and what ends it. It depends on
/// the lines before it alone, so it may be kept and handed to another counter with the same version of this crate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State(u32);

/// What a state holds: two bits of mode, six of which token, 24 of depth or of what ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Code,
    /// In the block comment of this number, so deep.
    Block {
        number: u8,
        depth: u32,
    },
    /// In the string of this number; a documentation string stands alone and counts as comment.
    Quoted {
        number: u8,
        doc: bool,
    },
    /// In a string whose end was told at its beginning: the hash of the end, or a count.
    Told {
        number: u8,
        end: u32,
    },
}

const PARAMETER_BITS: u32 = 24;
const PARAMETER_MAX: u32 = (1 << PARAMETER_BITS) - 1;
/// Comments deeper than this are counted as so deep: enough for any source, and a state stays small.
const DEPTH_MAX: u32 = 255;

impl State {
    /// Before the first line.
    pub const START: State = State(0);

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> State {
        State(bits)
    }

    fn mode(self) -> Mode {
        let number = ((self.0 >> PARAMETER_BITS) & 0x3F) as u8;
        let parameter = self.0 & PARAMETER_MAX;
        match self.0 >> 30 {
            1 => Mode::Block { number, depth: parameter.max(1) },
            2 => Mode::Quoted { number, doc: parameter == 1 },
            3 => Mode::Told { number, end: parameter },
            _ => Mode::Code,
        }
    }
}

impl From<Mode> for State {
    fn from(mode: Mode) -> State {
        let pack = |mode: u32, number: u8, parameter: u32| State(mode << 30 | u32::from(number) << 24 | parameter);
        match mode {
            Mode::Code => State::START,
            Mode::Block { number, depth } => pack(1, number, depth),
            Mode::Quoted { number, doc } => pack(2, number, u32::from(doc)),
            Mode::Told { number, end } => pack(3, number, end & PARAMETER_MAX),
        }
    }
}

/// What one line comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub class: Class,
    /// The state in which the next line begins.
    pub next: State,
    /// Decisions on this line.
    pub complexity: u32,
}

/// A token and what it does.
struct Token {
    text: &'static [u8],
    any_case: bool,
    does: Does,
}

#[derive(Clone, Copy)]
enum Does {
    Line(At),
    Block(u8),
    Quote(u8),
    Special(u8, Special),
    /// Counts when one of these bytes follows, or whatever follows if there are none.
    Decision(&'static [u8]),
    /// The mark that hands an error on, `?`: it stands after what it is about, and before no word.
    Postfix,
}

const SPACE: u8 = 1;
const TOKEN: u8 = 2;

/// A syntax, made ready for reading.
pub(super) struct Machine {
    syntax: &'static Syntax,
    /// What a byte may be: white space, the first byte of a token.
    kinds: [u8; 256],
    /// By first byte, the longest first.
    tokens: Vec<Token>,
    /// Where the tokens of a first byte begin, and how many they are.
    ranges: [(u16, u16); 256],
}

impl Machine {
    pub(super) fn new(syntax: &'static Syntax) -> Machine {
        let mut tokens = Vec::new();
        let mut add = |text: &'static str, any_case: bool, does: Does| {
            tokens.push(Token { text: text.as_bytes(), any_case, does });
        };
        for line in syntax.line {
            add(line.open, line.any_case, Does::Line(line.at));
        }
        for (number, block) in syntax.block.iter().enumerate() {
            add(block.open, false, Does::Block(number as u8));
        }
        for (number, quote) in syntax.quotes.iter().enumerate() {
            add(quote.open, false, Does::Quote(number as u8));
        }
        for (number, special) in syntax.special.iter().enumerate() {
            for open in special.opens() {
                add(open, false, Does::Special(number as u8, *special));
            }
        }
        for decisions in syntax.decisions {
            for (text, follow) in *decisions {
                let does = if *text == "?" { Does::Postfix } else { Does::Decision(follow.as_bytes()) };
                add(text, false, does);
            }
        }
        let mut machine = Machine { syntax, kinds: [0; 256], tokens: Vec::new(), ranges: [(0, 0); 256] };
        for space in [b' ', b'\t', b'\r', 0x0B, 0x0C] {
            machine.kinds[usize::from(space)] |= SPACE;
        }
        // A comment or a string goes before a decision of the same length: `/` may be both in odd languages.
        tokens.sort_by_key(|token: &Token| std::cmp::Reverse(token.text.len()));
        for byte in 0..=255u8 {
            let start = machine.tokens.len() as u16;
            let of_byte = |token: &Token| {
                let first = token.text[0];
                first == byte || token.any_case && first.eq_ignore_ascii_case(&byte)
            };
            let copies = tokens.iter().filter(|token| of_byte(token)).map(|token| Token {
                text: token.text,
                any_case: token.any_case,
                does: token.does,
            });
            machine.tokens.extend(copies);
            let count = machine.tokens.len() as u16 - start;
            machine.ranges[usize::from(byte)] = (start, count);
            if count > 0 {
                machine.kinds[usize::from(byte)] |= TOKEN;
            }
        }
        machine
    }

    fn told_is_comment(&self, number: u8) -> bool {
        self.syntax.special.get(usize::from(number)) == Some(&Special::LongComment)
    }

    /// Reads one line, which may still have its line end.
    pub(super) fn line(&self, state: State, line: &[u8]) -> Outcome {
        let line = without_end(line);
        // A byte order mark is no code. It stands at the start of a file, where the state is the first one.
        let line = match line.strip_prefix(b"\xEF\xBB\xBF") {
            Some(rest) if state == State::START => rest,
            _ => line,
        };
        let mode = state.mode();
        let mut reading = Reading {
            machine: self,
            line,
            at: 0,
            mode,
            code: match mode {
                Mode::Quoted { doc, .. } => !doc,
                Mode::Told { number, .. } => !self.told_is_comment(number),
                Mode::Code | Mode::Block { .. } => false,
            },
            comment: match mode {
                Mode::Quoted { doc, .. } => doc,
                Mode::Told { number, .. } => self.told_is_comment(number),
                Mode::Block { .. } => true,
                Mode::Code => false,
            },
            complexity: 0,
            heredoc: None,
        };
        reading.run();
        let class = match (reading.code, reading.comment) {
            (true, _) => Class::Code,
            (false, true) => Class::Comment,
            (false, false) => Class::Blank,
        };
        Outcome { class, next: reading.mode.into(), complexity: reading.complexity }
    }
}

/// One line being read.
struct Reading<'a> {
    machine: &'a Machine,
    line: &'a [u8],
    at: usize,
    mode: Mode,
    code: bool,
    comment: bool,
    complexity: u32,
    /// A here-document that begins with the next line.
    heredoc: Option<Mode>,
}

impl Reading<'_> {
    fn run(&mut self) {
        // Each step moves on, or ends the line.
        while self.at < self.line.len() {
            match self.mode {
                Mode::Code => self.read_code(),
                Mode::Block { number, depth } => self.read_block(number, depth),
                Mode::Quoted { number, .. } => self.read_quoted(number),
                Mode::Told { number, end } => self.read_told(number, end),
            }
        }
        if let (Mode::Code, Some(heredoc)) = (self.mode, self.heredoc) {
            self.mode = heredoc;
        }
        if let Mode::Quoted { number, .. } = self.mode {
            let quote = &self.machine.syntax.quotes[usize::from(number)];
            let goes_on = quote.spans || quote.escape && self.ends_with_backslash();
            if !goes_on {
                self.mode = Mode::Code;
            }
        }
    }

    fn ends_with_backslash(&self) -> bool {
        self.line.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    }

    fn before(&self) -> Option<u8> {
        self.at.checked_sub(1).map(|at| self.line[at])
    }

    fn read_code(&mut self) {
        while self.at < self.line.len() && self.mode == Mode::Code {
            let kind = self.machine.kinds[usize::from(self.line[self.at])];
            if kind & TOKEN != 0 && self.read_token() {
                continue;
            }
            if kind & SPACE == 0 {
                self.code = true;
            }
            self.at += 1;
        }
    }

    /// Takes the token that stands here, if one does.
    fn read_token(&mut self) -> bool {
        let machine = self.machine;
        let rest = &self.line[self.at..];
        let (start, count) = machine.ranges[usize::from(rest[0])];
        for token in &machine.tokens[usize::from(start)..usize::from(start + count)] {
            let len = token.text.len();
            let same = rest.len() >= len
                && if token.any_case {
                    rest[..len].eq_ignore_ascii_case(token.text)
                } else {
                    &rest[..len] == token.text
                };
            if same && self.take(token.does, len) {
                return true;
            }
        }
        false
    }

    fn take(&mut self, does: Does, len: usize) -> bool {
        let before = self.before();
        let escaped = before == Some(b'\\');
        match does {
            Does::Line(at) => {
                if escaped || !self.stands(at, len) {
                    return false;
                }
                self.comment = true;
                self.at = self.line.len();
            }
            Does::Block(number) => {
                let block = &self.machine.syntax.block[usize::from(number)];
                if escaped || !self.stands(block.at, len) {
                    return false;
                }
                self.comment = true;
                self.at += len;
                self.mode = Mode::Block { number, depth: 1 };
            }
            Does::Quote(number) => return self.open_quote(number, len),
            Does::Special(number, special) => return !escaped && self.open_special(number, special, len),
            Does::Postfix => {
                if self.line.get(self.at + len).copied().is_some_and(is_word) {
                    return false;
                }
                self.code = true;
                self.complexity += 1;
                self.at += len;
            }
            Does::Decision(follow) => {
                if before.is_some_and(is_word) {
                    return false;
                }
                let next = self.line.get(self.at + len).copied();
                if !follow.is_empty() && !next.is_some_and(|next| follow.contains(&next)) {
                    return false;
                }
                self.code = true;
                self.complexity += 1;
                self.at += len;
            }
        }
        true
    }

    /// Whether a comment token of this length may stand here.
    fn stands(&self, at: At, len: usize) -> bool {
        let after = self.line.get(self.at + len).copied();
        match at {
            At::Anywhere => true,
            At::Column0 => self.at == 0,
            At::LineStart => {
                self.line[..self.at].iter().all(|byte| self.machine.kinds[usize::from(*byte)] & SPACE != 0)
            }
            At::LineStartWord => self.stands(At::LineStart, len) && !after.is_some_and(is_word),
            At::WordNoBracket => self.stands(At::Word, len) && after != Some(b'['),
            At::Word => !self.before().is_some_and(|byte| byte.is_ascii_graphic() && !b";()|&".contains(&byte)),
        }
    }

    fn open_quote(&mut self, number: u8, len: usize) -> bool {
        let quote = &self.machine.syntax.quotes[usize::from(number)];
        let before = self.before();
        // `r"` is a token only where a word begins; a quote after a backslash is a character of its own.
        if before == Some(b'\\') || is_word(quote.open.as_bytes()[0]) && before.is_some_and(is_word) {
            return false;
        }
        let doc = quote.doc && !self.code;
        if doc {
            self.comment = true;
        } else {
            self.code = true;
        }
        self.at += len;
        self.mode = Mode::Quoted { number, doc };
        true
    }

    fn read_block(&mut self, number: u8, depth: u32) {
        let block = &self.machine.syntax.block[usize::from(number)];
        let (open, close) = (block.open.as_bytes(), block.close.as_bytes());
        if block.at == At::Column0 {
            // The line that ends such a block belongs to it whole.
            let ends = self.at == 0 && self.line.starts_with(close);
            self.mode = if ends { Mode::Code } else { self.mode };
            self.at = self.line.len();
            return;
        }
        let mut depth = depth;
        while self.at < self.line.len() {
            let rest = &self.line[self.at..];
            if rest.starts_with(close) {
                self.at += close.len();
                depth -= 1;
                if depth == 0 {
                    self.mode = Mode::Code;
                    return;
                }
            } else if block.nested && rest.starts_with(open) {
                self.at += open.len();
                depth = (depth + 1).min(DEPTH_MAX);
            } else {
                self.at += 1;
            }
        }
        self.mode = Mode::Block { number, depth };
    }

    fn read_quoted(&mut self, number: u8) {
        let quote: &Quote = &self.machine.syntax.quotes[usize::from(number)];
        let close = quote.close.as_bytes();
        while self.at < self.line.len() {
            let rest = &self.line[self.at..];
            if rest[0] == b'\\' && quote.escape {
                self.at += 2;
            } else if rest.starts_with(close) {
                self.at += close.len();
                self.mode = Mode::Code;
                // What follows a documentation string on its line makes it code; that is seen when it is read.
                return;
            } else {
                self.at += 1;
            }
        }
        self.at = self.line.len();
    }

    /// Opens a string whose end is told by how it begins, if it does begin here.
    fn open_special(&mut self, number: u8, special: Special, len: usize) -> bool {
        let rest = &self.line[self.at + len..];
        let before = self.before();
        let opened = match special {
            Special::Character => return self.skip_character(),
            Special::RustRaw if !before.is_some_and(is_word) => {
                let hashes = count_of(rest, b'#');
                (rest.get(hashes) == Some(&b'"')).then_some((hashes + 1, hashes as u32))
            }
            Special::CppRaw if !before.is_some_and(is_word) => delimiter(rest, b'('),
            Special::LongBracket | Special::LongComment => {
                let level = count_of(rest, b'=');
                (rest.get(level) == Some(&b'[')).then_some((level + 1, level as u32))
            }
            Special::DollarQuote if !before.is_some_and(is_word) => tag(rest),
            Special::HereDocument | Special::HereDocumentTight | Special::HereDocumentTriple => {
                return self.note_heredoc(number, special, len);
            }
            _ => None,
        };
        let Some((used, end)) = opened else { return false };
        match special {
            Special::LongComment => self.comment = true,
            _ => self.code = true,
        }
        self.at += len + used;
        self.mode = Mode::Told { number, end };
        true
    }

    /// Passes over `'x'` or `'\n'`; an apostrophe that is no character literal is left alone.
    fn skip_character(&mut self) -> bool {
        // The longest is an escape such as `'\u{10FFFF}'`.
        const ESCAPE_LEN_MAX: usize = 12;
        let rest = &self.line[self.at..];
        let len = match rest.get(1) {
            Some(b'\\') => rest.iter().take(ESCAPE_LEN_MAX).skip(3).position(|byte| *byte == b'\'').map(|at| at + 4),
            Some(b'\'') | None => None,
            Some(first) => {
                let wide = 1 + utf8_len(*first);
                (rest.get(wide) == Some(&b'\'')).then_some(wide + 1)
            }
        };
        let Some(len) = len else { return false };
        self.code = true;
        self.at += len;
        true
    }

    /// `<<EOF`, `<<-'EOF'`, `<<~EOF`, `<<<EOF`: what follows on this line is still code.
    fn note_heredoc(&mut self, number: u8, special: Special, len: usize) -> bool {
        let rest = &self.line[self.at + len..];
        let before = self.before();
        let Some((used, word)) = heredoc_word(rest, special == Special::HereDocument) else { return false };
        // After a word it shifts; three in a row hand a shell its input on the same line.
        if before.is_some_and(|byte| is_word(byte) || byte == b'<') {
            return false;
        }
        self.code = true;
        self.at += len + used;
        self.heredoc = Some(Mode::Told { number, end: hash(word) });
        true
    }

    fn read_told(&mut self, number: u8, end: u32) {
        let special = self.machine.syntax.special[usize::from(number)];
        if special.is_heredoc() {
            // It ends with a line that holds its word alone; some languages let punctuation follow.
            let word = trim(self.line);
            let word_end = word.iter().position(|byte| !is_word(*byte)).unwrap_or(word.len());
            let ends = hash(&word[..word_end]) == end && word[word_end..].iter().all(|byte| b";,)".contains(byte));
            if ends && word_end > 0 {
                self.mode = Mode::Code;
            }
            self.at = self.line.len();
            return;
        }
        while self.at < self.line.len() {
            let rest = &self.line[self.at..];
            if let Some(len) = closes(special, rest, end) {
                self.at += len;
                self.mode = Mode::Code;
                return;
            }
            self.at += 1;
        }
    }
}

/// The length of what ends such a string, if it stands here.
fn closes(special: Special, rest: &[u8], end: u32) -> Option<usize> {
    let count = end as usize;
    match (special, rest[0]) {
        (Special::RustRaw, b'"') => {
            let hashes = rest.get(1..=count)?;
            hashes.iter().all(|byte| *byte == b'#').then_some(1 + count)
        }
        (Special::CppRaw, b')') => {
            let (used, told) = delimiter(&rest[1..], b'"')?;
            (told == end).then_some(1 + used)
        }
        (Special::LongBracket | Special::LongComment, b']') => {
            let level = count_of(&rest[1..], b'=');
            (level == count && rest.get(1 + level) == Some(&b']')).then_some(level + 2)
        }
        (Special::DollarQuote, b'$') => {
            let (used, told) = tag(&rest[1..])?;
            (told == end).then_some(1 + used)
        }
        _ => None,
    }
}

/// How much is used by a delimiter and the byte that ends it, and the delimiter's hash.
fn delimiter(rest: &[u8], last: u8) -> Option<(usize, u32)> {
    // The standard allows so many.
    const DELIMITER_LEN_MAX: usize = 16;
    let len = rest.iter().take(DELIMITER_LEN_MAX + 1).position(|byte| *byte == last)?;
    let good = rest[..len].iter().all(|byte| byte.is_ascii_graphic() && !b"()\\\"".contains(byte));
    good.then(|| (len + 1, hash(&rest[..len])))
}

/// The rest of `$tag$` after its first dollar.
fn tag(rest: &[u8]) -> Option<(usize, u32)> {
    // PostgreSQL's names are at most so long.
    const TAG_LEN_MAX: usize = 63;
    let len = rest.iter().take(TAG_LEN_MAX + 1).position(|byte| *byte == b'$')?;
    let good = rest[..len].iter().all(|byte| is_word(*byte)) && !rest.first().is_some_and(u8::is_ascii_digit);
    good.then(|| (len + 1, hash(&rest[..len])))
}

/// The word that will end a here-document, and how much of the line it uses. Shells let spaces stand before it.
fn heredoc_word(rest: &[u8], shell: bool) -> Option<(usize, &[u8])> {
    let marks = rest.iter().take_while(|byte| b"-~".contains(byte)).count();
    let spaces = rest[marks..].iter().take_while(|byte| **byte == b' ').count();
    let start = marks + spaces;
    let first = *rest.get(start)?;
    if spaces > 0 && !shell {
        return None;
    }
    if b"'\"".contains(&first) {
        let len = rest[start + 1..].iter().position(|byte| *byte == first)?;
        let word = &rest[start + 1..start + 1 + len];
        let good = !word.is_empty() && word.iter().all(|byte| is_word(*byte));
        return good.then_some((start + len + 2, word));
    }
    let start = start + usize::from(first == b'\\');
    let len = rest[start..].iter().take_while(|byte| is_word(**byte)).count();
    let word = &rest[start..start + len];
    // In small letters, or after a space, it would more often be what is shifted or appended.
    let good = word.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && (word.iter().any(u8::is_ascii_uppercase) || shell && spaces == 0);
    good.then_some((start + len, word))
}

fn count_of(rest: &[u8], wanted: u8) -> usize {
    // A state holds so much; nobody writes more.
    const COUNT_MAX: usize = 255;
    rest.iter().take(COUNT_MAX).take_while(|byte| **byte == wanted).count()
}

fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn utf8_len(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

/// FNV-1a, folded to what a state can hold.
fn hash(word: &[u8]) -> u32 {
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = word.iter().fold(0x811C_9DC5, fold);
    (hash ^ (hash >> PARAMETER_BITS)) & PARAMETER_MAX
}
