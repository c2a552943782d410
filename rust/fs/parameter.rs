// SPDX-License-Identifier: GPL-2.0

//! Declared mount options.
//!
//! C header: [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use crate::linux::bindings;
use core::{marker::PhantomData, ptr};
use kernel::{alloc::KVec, prelude::*};

/// The type of a mount option's value.
#[derive(Clone, Copy)]
pub enum ParameterType {
    /// No value: `name`.
    Flag,
    /// No value, and can be negated: `name` or `noname`.
    FlagNo,
    /// A truth value: `name=yes`, `name=0`, …
    Bool,
    /// A number.
    U32,
    /// A number that may be large.
    U64,
    /// A number that may be negative.
    S32,
    /// Any text.
    String,
    /// One of these words, each with the number it stands for.
    Enum(&'static [(&'static CStr, u32)]),
}

/// A mount option: its name, the type of its value, and the key by which the file system
/// knows it.
#[derive(Clone, Copy)]
pub struct Parameter<K: 'static> {
    name: &'static CStr,
    parameter_type: ParameterType,
    key: K,
}

impl<K: Copy> Parameter<K> {
    /// The option `name`.
    pub const fn new(name: &'static CStr, parameter_type: ParameterType, key: K) -> Self {
        Self {
            name,
            parameter_type,
            key,
        }
    }

    pub(super) fn key(&self) -> K {
        self.key
    }

    /// What was given for the option.
    ///
    /// # Safety
    ///
    /// `parameter` must have been parsed by `__fs_parse` into `result`, as this option of a
    /// [`ParameterTable`].
    pub(super) unsafe fn value<'a>(
        &self,
        parameter: &'a bindings::fs_parameter,
        result: &bindings::fs_parse_result,
    ) -> Result<Value<'a>> {
        let value = &result.__bindgen_anon_1;
        // SAFETY: The parser of the option's type has set the field that is read, and has made
        // sure that a text is there where one is needed.
        unsafe {
            Ok(match self.parameter_type {
                ParameterType::Flag | ParameterType::FlagNo => Value::Flag(!result.negated),
                ParameterType::Bool => Value::Flag(*value.boolean.as_ref()),
                ParameterType::U32 => Value::U32(*value.uint_32.as_ref()),
                ParameterType::U64 => Value::U64(*value.uint_64.as_ref()),
                ParameterType::S32 => Value::S32(*value.int_32.as_ref()),
                ParameterType::String => Value::Text(text(parameter)?),
                ParameterType::Enum(words) => {
                    let text = text(parameter)?;
                    let word = words.iter().find(|(word, _)| *word == text);
                    Value::U32(word.ok_or(EINVAL)?.1)
                }
            })
        }
    }
}

/// The text given for an option.
///
/// # Safety
///
/// `parameter` must have been found to be a string by `__fs_parse`.
unsafe fn text(parameter: &bindings::fs_parameter) -> Result<&CStr> {
    // SAFETY: As promised by the caller, the string is the field of the union in use.
    let text = unsafe { parameter.__bindgen_anon_1.string };
    if text.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: Strings of mount options are NUL-terminated, and live as long as the option.
    Ok(unsafe { CStr::from_char_ptr(text) })
}

/// The value of a mount option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of [`ParameterType::Flag`], [`ParameterType::FlagNo`] and [`ParameterType::Bool`].
    Flag(bool),
    /// Of [`ParameterType::U32`] and [`ParameterType::Enum`].
    U32(u32),
    /// Of [`ParameterType::U64`].
    U64(u64),
    /// Of [`ParameterType::S32`].
    S32(i32),
    /// Of [`ParameterType::String`].
    Text(&'a CStr),
}

/// The table of all options in the form that C code wants, which ends with an empty entry.
///
/// # Invariants
///
/// `specs` ends with an empty entry, and the number of each other one is its index.
pub(super) struct ParameterTable<K: 'static> {
    specs: KVec<bindings::fs_parameter_spec>,
    _keys: PhantomData<&'static [Parameter<K>]>,
}

// SAFETY: The pointers in the table are to static data that nobody changes.
unsafe impl<K: 'static> Send for ParameterTable<K> {}

// SAFETY: The table does not change, and the pointers in it are to static data.
unsafe impl<K: 'static> Sync for ParameterTable<K> {}

impl<K: Copy> ParameterTable<K> {
    pub(super) fn new(parameters: &'static [Parameter<K>]) -> Result<Self> {
        let mut specs = KVec::with_capacity(parameters.len(), GFP_KERNEL)?;
        for (index, parameter) in parameters.iter().enumerate() {
            let (type_, flags): (bindings::fs_param_type, _) = match parameter.parameter_type {
                ParameterType::Flag => (None, 0),
                ParameterType::FlagNo => (None, bindings::fs_param_neg_with_no),
                ParameterType::Bool => (Some(bindings::fs_param_is_bool), 0),
                ParameterType::U32 => (Some(bindings::fs_param_is_u32), 0),
                ParameterType::U64 => (Some(bindings::fs_param_is_u64), 0),
                ParameterType::S32 => (Some(bindings::fs_param_is_s32), 0),
                ParameterType::String | ParameterType::Enum(_) => {
                    (Some(bindings::fs_param_is_string), 0)
                }
            };
            let spec = bindings::fs_parameter_spec {
                name: parameter.name.as_char_ptr(),
                type_,
                opt: u8::try_from(index)?,
                flags: flags as u16,
                data: ptr::null(),
            };
            specs.push(spec, GFP_KERNEL)?;
        }
        specs.push(pin_init::zeroed(), GFP_KERNEL)?;
        // INVARIANT: The last entry is empty, the others are numbered by their index.
        Ok(Self {
            specs,
            _keys: PhantomData,
        })
    }

    pub(super) fn as_ptr(&self) -> *const bindings::fs_parameter_spec {
        self.specs.as_ptr()
    }
}
