//! Pickles, read as data: what they name is never looked up, and what they would call is never called.
//!
//! A pickle is a program for a stack machine. Here it only builds a list of values that refer to each other
//! by number, so a value that is shared ten thousand times is one value, and one that is nested ten
//! thousand times deep needs no deep stack to be dropped. An object stands as what it would be made of.
//!
//! Source: Python's `pickletools.py`, protocols 0 to 5.

use std::collections::HashMap;

/// Values beyond which a pickle is refused: a model of ten thousand tensors has some 250,000.
const MOST_VALUES: usize = 4 << 20;

/// A value's number in its pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueId(u32);

/// A value in a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum PickledValue {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float, a larger integer or bytes: what no tensor's description needs.
    Other(&'static str),
    /// A text.
    Text(String),
    /// A tuple, a list or a set.
    Sequence(Vec<ValueId>),
    /// A dictionary, ordered ones included, in the order in which it was filled.
    Dictionary(Vec<(ValueId, ValueId)>),
    /// A class or a function, by its module and name.
    Global(String),
    /// Something outside of the pickle, such as a storage.
    Persistent(ValueId),
    /// What a call would give.
    Object {
        /// What would be called.
        callable: ValueId,
        /// With what.
        arguments: ValueId,
    },
}

/// A pickle that was read.
#[derive(Clone, Debug)]
pub struct Pickle {
    values: Vec<PickledValue>,
    root: ValueId,
    /// Its length in bytes; more may follow it.
    pub length: usize,
}

/// Why bytes are no pickle that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end before the pickle does.
    #[error("it ends in the middle of its description (a pickle)")]
    Truncated,
    /// It cannot be what Python wrote.
    #[error("its description (a pickle) is damaged: {what} at byte {at}")]
    Damaged {
        /// Where, from 0.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It holds more than any model's does.
    #[error("its description (a pickle) has over {MOST_VALUES} values, more than any model's")]
    TooLarge,
}

impl Pickle {
    /// Reads the pickle that `bytes` begin with.
    ///
    /// # Errors
    /// They begin with none, or with one beyond reason. Time and memory are bounded by their length.
    pub fn read(bytes: &[u8]) -> Result<Self, PickleError> {
        let mut machine = PickleMachine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step()? {}
        let root = machine.pop()?;
        Ok(Self {
            values: machine.values,
            root,
            length: machine.at,
        })
    }

    /// What it stands for.
    pub fn root(&self) -> ValueId {
        self.root
    }

    /// A value.
    pub fn get(&self, id: ValueId) -> &PickledValue {
        &self.values[id.0 as usize]
    }

    /// All its values, in the order in which they were made.
    pub fn ids(&self) -> impl Iterator<Item = ValueId> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// The members of a tuple, a list or a set.
    pub fn sequence(&self, id: ValueId) -> Option<&[ValueId]> {
        match self.get(id) {
            PickledValue::Sequence(members) => Some(members),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, id: ValueId) -> Option<&str> {
        match self.get(id) {
            PickledValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer that is not negative.
    pub fn natural(&self, id: ValueId) -> Option<u64> {
        match self.get(id) {
            PickledValue::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The name of a class or a function.
    pub fn global(&self, id: ValueId) -> Option<&str> {
        match self.get(id) {
            PickledValue::Global(name) => Some(name),
            _ => None,
        }
    }
}

/// The stack machine.
struct PickleMachine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<PickledValue>,
    stack: Vec<ValueId>,
    /// Heights of the stack that were marked.
    marks: Vec<usize>,
    memo: HashMap<u64, ValueId>,
}

impl<'a> PickleMachine<'a> {
    /// Obeys one instruction; gives whether another follows.
    fn step(&mut self) -> Result<bool, PickleError> {
        let [code] = self.array()?;
        match code {
            b'.' => return Ok(false),
            // Protocol and frames say nothing about the values.
            0x80 => drop(self.array::<1>()?),
            0x95 => drop(self.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.drop_top()?,
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(PickledValue::None)?,
            0x88 => self.push(PickledValue::Bool(true))?,
            0x89 => self.push(PickledValue::Bool(false))?,
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(code)?,
            b'F' => {
                self.line()?;
                self.push(PickledValue::Other("a number"))?;
            }
            b'G' => {
                self.array::<8>()?;
                self.push(PickledValue::Other("a number"))?;
            }
            b'S' | b'V' | b'T' | b'U' | b'X' | 0x8c | 0x8d => self.string(code)?,
            b'B' | b'C' | 0x8e | 0x96 => self.skip_bytes(code)?,
            b')' | b']' | 0x8f => self.push(PickledValue::Sequence(Vec::new()))?,
            b't' | b'l' | 0x91 => {
                let members = self.pop_to_mark()?;
                self.push(PickledValue::Sequence(members))?;
            }
            0x85..=0x87 => self.tuple(usize::from(code - 0x84))?,
            b'}' => self.push(PickledValue::Dictionary(Vec::new()))?,
            b'd' => {
                let members = self.pop_to_mark()?;
                let pairs = self.pairs(&members)?;
                self.push(PickledValue::Dictionary(pairs))?;
            }
            b'a' => {
                let member = self.pop()?;
                self.append(&[member])?;
            }
            b'e' | 0x90 => {
                let members = self.pop_to_mark()?;
                self.append(&members)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let members = self.pop_to_mark()?;
                self.set(&members)?;
            }
            b'g' | b'h' | b'j' | b'p' | b'q' | b'r' | 0x94 => self.memory(code)?,
            b'c' | 0x93 | 0x82..=0x84 => self.global(code)?,
            b'P' | b'Q' => self.persistent(code)?,
            b'R' | 0x81 | 0x92 | b'o' | b'i' => self.object(code)?,
            // The state of an object is more of what it would be made of; that of an ordered dictionary is
            // what PyTorch keeps beside the tensors (`_metadata`).
            b'b' => self.drop_top()?,
            _ => return Err(self.damaged("an unknown instruction")),
        }
        Ok(true)
    }

    fn integer(&mut self, code: u8) -> Result<(), PickleError> {
        let value = match code {
            b'J' => PickledValue::Int(i32::from_le_bytes(self.array()?).into()),
            b'K' => PickledValue::Int(self.array::<1>()?[0].into()),
            b'M' => PickledValue::Int(u16::from_le_bytes(self.array()?).into()),
            0x8a | 0x8b => {
                let length = match code {
                    0x8a => self.array::<1>()?[0].into(),
                    _ => u32::from_le_bytes(self.array()?).into(),
                };
                let bytes = self.take(length)?;
                // Two's complement, the lowest byte first.
                let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) {
                    0xff
                } else {
                    0
                };
                let mut word = [fill; 8];
                match word.get_mut(..bytes.len()) {
                    Some(low) => {
                        low.copy_from_slice(bytes);
                        PickledValue::Int(i64::from_le_bytes(word))
                    }
                    None => PickledValue::Other("a number"),
                }
            }
            _ => {
                let line = std::str::from_utf8(self.line()?).unwrap_or_default().trim();
                match (code, line) {
                    (b'I', "00") => PickledValue::Bool(false),
                    (b'I', "01") => PickledValue::Bool(true),
                    (_, line) => match line.trim_end_matches('L').parse() {
                        Ok(number) => PickledValue::Int(number),
                        Err(_) => PickledValue::Other("a number"),
                    },
                }
            }
        };
        self.push(value)
    }

    fn string(&mut self, code: u8) -> Result<(), PickleError> {
        let length = match code {
            b'S' | b'V' => {
                let line = self.line()?;
                let quoted = line
                    .strip_prefix(b"'")
                    .and_then(|line| line.strip_suffix(b"'"))
                    .or_else(|| line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")));
                let line = if code == b'S' { quoted } else { Some(line) };
                let line = line.ok_or_else(|| self.damaged("a text without quotes"))?;
                let text = latin(line);
                return self.push(PickledValue::Text(text));
            }
            b'U' | 0x8c => self.array::<1>()?[0].into(),
            b'T' | b'X' => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        let bytes = self.take(length)?;
        let text = match code {
            // Texts of Python 2 are bytes.
            b'T' | b'U' => latin(bytes),
            _ => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => return Err(self.damaged("a text that is not UTF-8")),
            },
        };
        self.push(PickledValue::Text(text))
    }

    fn skip_bytes(&mut self, code: u8) -> Result<(), PickleError> {
        let length = match code {
            b'C' => self.array::<1>()?[0].into(),
            b'B' => u32::from_le_bytes(self.array()?).into(),
            _ => u64::from_le_bytes(self.array()?),
        };
        self.take(length)?;
        self.push(PickledValue::Other("bytes"))
    }

    fn tuple(&mut self, length: usize) -> Result<(), PickleError> {
        let mut members = Vec::with_capacity(length);
        for _ in 0..length {
            members.push(self.pop()?);
        }
        members.reverse();
        self.push(PickledValue::Sequence(members))
    }

    /// Adds to the list on top of the stack; what is added to an object stays unknown, as the object is.
    fn append(&mut self, added: &[ValueId]) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            PickledValue::Sequence(members) => members.extend_from_slice(added),
            PickledValue::Object { .. } => {}
            _ => return Err(self.damaged("something added to what is no list")),
        }
        Ok(())
    }

    /// Adds to the dictionary on top of the stack, likewise.
    fn set(&mut self, added: &[ValueId]) -> Result<(), PickleError> {
        let pairs = self.pairs(added)?;
        let top = self.top()?;
        match &mut self.values[top.0 as usize] {
            PickledValue::Dictionary(members) => members.extend(pairs),
            PickledValue::Object { .. } => {}
            _ => return Err(self.damaged("something set in what is no dictionary")),
        }
        Ok(())
    }

    fn pairs(&self, members: &[ValueId]) -> Result<Vec<(ValueId, ValueId)>, PickleError> {
        let (pairs, rest) = members.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.damaged("a key without a value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn memory(&mut self, code: u8) -> Result<(), PickleError> {
        let key = match code {
            b'h' | b'q' => self.array::<1>()?[0].into(),
            b'j' | b'r' => u32::from_le_bytes(self.array()?).into(),
            0x94 => self.memo.len() as u64,
            _ => {
                let line = std::str::from_utf8(self.line()?).unwrap_or_default();
                let number = line.trim().parse();
                number.map_err(|_| self.damaged("a place in memory that is no number"))?
            }
        };
        if matches!(code, b'g' | b'h' | b'j') {
            let known = self.memo.get(&key).copied();
            let known = known.ok_or_else(|| self.damaged("a place in memory that was never filled"))?;
            self.stack.push(known);
        } else {
            let top = self.top()?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn global(&mut self, code: u8) -> Result<(), PickleError> {
        let name = match code {
            b'c' => self.named()?,
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module.0 as usize], &self.values[name.0 as usize]) {
                    (PickledValue::Text(module), PickledValue::Text(name)) => format!("{module}.{name}"),
                    _ => return Err(self.damaged("a class without a name")),
                }
            }
            // Numbers that stand for classes by an agreement between programs.
            _ => {
                let length = [1, 2, 4][usize::from(code - 0x82)];
                self.take(length)?;
                "an extension".to_owned()
            }
        };
        self.push(PickledValue::Global(name))
    }

    fn named(&mut self) -> Result<String, PickleError> {
        let module = latin(self.line()?);
        let name = latin(self.line()?);
        Ok(format!("{module}.{name}"))
    }

    fn persistent(&mut self, code: u8) -> Result<(), PickleError> {
        let id = match code {
            b'Q' => self.pop()?,
            _ => {
                let text = latin(self.line()?);
                self.make(PickledValue::Text(text))?
            }
        };
        self.push(PickledValue::Persistent(id))
    }

    fn object(&mut self, code: u8) -> Result<(), PickleError> {
        let (callable, arguments) = match code {
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                (self.pop()?, arguments)
            }
            0x92 => {
                let (_named, arguments) = (self.pop()?, self.pop()?);
                (self.pop()?, arguments)
            }
            b'i' => {
                let name = self.named()?;
                let members = self.pop_to_mark()?;
                let callable = self.make(PickledValue::Global(name))?;
                (callable, self.make(PickledValue::Sequence(members))?)
            }
            _ => {
                let members = self.pop_to_mark()?;
                let Some((callable, members)) = members.split_first() else {
                    return Err(self.damaged("a call of nothing"));
                };
                let members = members.to_vec();
                (*callable, self.make(PickledValue::Sequence(members))?)
            }
        };
        let value = match &self.values[callable.0 as usize] {
            PickledValue::Global(name) if name == "collections.OrderedDict" => self.ordered(arguments)?,
            _ => PickledValue::Object { callable, arguments },
        };
        self.push(value)
    }

    /// An ordered dictionary: empty, or of the pairs that it is made of.
    fn ordered(&self, arguments: ValueId) -> Result<PickledValue, PickleError> {
        let wrong = || self.damaged("an ordered dictionary that is not made of pairs");
        let members = |id: ValueId| match &self.values[id.0 as usize] {
            PickledValue::Sequence(members) => Ok(members.as_slice()),
            _ => Err(wrong()),
        };
        let pairs = match members(arguments)? {
            [] => Vec::new(),
            [pairs] => {
                let pair = |id: &ValueId| match members(*id)? {
                    [key, value] => Ok((*key, *value)),
                    _ => Err(wrong()),
                };
                members(*pairs)?.iter().map(pair).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong()),
        };
        Ok(PickledValue::Dictionary(pairs))
    }

    fn make(&mut self, value: PickledValue) -> Result<ValueId, PickleError> {
        if self.values.len() >= MOST_VALUES {
            return Err(PickleError::TooLarge);
        }
        let id = ValueId(self.values.len() as u32);
        self.values.push(value);
        Ok(id)
    }

    fn push(&mut self, value: PickledValue) -> Result<(), PickleError> {
        let id = self.make(value)?;
        self.stack.push(id);
        Ok(())
    }

    /// The top of the stack, down to the latest mark.
    fn top(&self) -> Result<ValueId, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(top) if self.stack.len() > floor => Ok(*top),
            _ => Err(self.damaged("an empty stack")),
        }
    }

    fn pop(&mut self) -> Result<ValueId, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn drop_top(&mut self) -> Result<(), PickleError> {
        // A mark is something on the stack, too.
        match self.marks.last() {
            Some(mark) if *mark == self.stack.len() => drop(self.marks.pop()),
            _ => drop(self.pop()?),
        }
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<ValueId>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.damaged("a missing mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], PickleError> {
        let rest: &'a [u8] = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or(PickleError::Truncated)?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let array = self.bytes[self.at..].first_chunk().copied();
        let array = array.ok_or(PickleError::Truncated)?;
        self.at += N;
        Ok(array)
    }

    /// What stands before the next line break, which is passed.
    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest: &'a [u8] = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == b'\n');
        let length = length.ok_or(PickleError::Truncated)?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn damaged(&self, what: &'static str) -> PickleError {
        PickleError::Damaged {
            at: self.at.saturating_sub(1),
            what,
        }
    }
}

/// Text of which each byte is a character.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
