//! `#[derive(Key)]`.

use crate::shape::{Parts, Shape, bounded, is_generic, name, no_variant, type_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Result, spanned::Spanned};

/// Most parts that a prefix can have: one less than the longest tuple.
const LONGEST_PREFIX: usize = 7;

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let (shape, name) = (Shape::of(input)?, name(input)?);
    let what = quote!(::recto::typed::Key);
    let ident = &input.ident;
    let generics = bounded(&input.generics, &what);
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let type_name = type_name(&name, &shape, &input.generics, &what);
    let (encode_part, encode) = (encoding(&shape, false), encoding(&shape, true));
    let (decode_part, decode) = (decoding(&shape, &name, false), decoding(&shape, &name, true));
    let prefixes = match &shape {
        Shape::Struct(parts) if !is_generic(&input.generics) => prefixes(input, parts),
        _ => TokenStream::new(),
    };
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::recto::typed::Key for #ident #arguments #bounds {
            type Arg<'a> = &'a Self;
            type Ref<'a> = Self;
            type Owned = Self;

            fn type_name() -> ::std::string::String {
                #type_name
            }

            fn encode_part(key: &Self, out: &mut ::std::vec::Vec<u8>) {
                #encode_part
            }

            fn decode_part(
                from: &mut ::recto::typed::KeyReader<'_>,
            ) -> ::recto::Result<Self> {
                #decode_part
            }

            fn into_owned(key: Self) -> Self {
                key
            }

            fn arg(key: &Self) -> &Self {
                key
            }

            fn encode(key: &Self, out: &mut ::std::vec::Vec<u8>) {
                #encode
            }

            fn decode(from: &mut ::recto::typed::KeyReader<'_>) -> ::recto::Result<Self> {
                #decode
            }
        }
        #prefixes
    })
}

/// Writes a key; the last part ends by itself, or with the key.
fn encoding(shape: &Shape, whole: bool) -> TokenStream {
    match shape {
        Shape::Struct(parts) => {
            let (fields, written) = (parts.braced(), written(parts, whole));
            quote!(let Self #fields = key; #written)
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().map(|(variant, tag, parts)| {
                let (fields, written) = (parts.braced(), written(parts, whole));
                quote!(Self::#variant #fields => { out.push(#tag); #written })
            });
            quote!(match key { #(#arms)* })
        }
    }
}

fn written(parts: &Parts, whole: bool) -> TokenStream {
    let last = parts.types.len().wrapping_sub(1);
    let written = parts.names.iter().zip(&parts.types).enumerate().map(|(n, (name, ty))| {
        if whole && n == last {
            quote_spanned!(ty.span()=> <#ty as ::recto::typed::Key>::encode(
                <#ty as ::recto::typed::Key>::arg(#name), out);)
        } else {
            quote_spanned!(ty.span()=> <#ty as ::recto::typed::Key>::encode_part(
                <#ty as ::recto::typed::Key>::arg(#name), out);)
        }
    });
    quote!(#(#written)*)
}

/// Reads a key.
fn decoding(shape: &Shape, name: &str, whole: bool) -> TokenStream {
    match shape {
        Shape::Struct(parts) => {
            let (read, fields) = (read(parts, whole), parts.braced());
            quote!(#read ::core::result::Result::Ok(Self #fields))
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().map(|(variant, tag, parts)| {
                let (read, fields) = (read(parts, whole), parts.braced());
                quote!(#tag => { #read ::core::result::Result::Ok(Self::#variant #fields) })
            });
            let no_variant = no_variant(name);
            quote! {
                let [tag] = from.array(#name)?;
                match tag { #(#arms)* _ => #no_variant }
            }
        }
    }
}

fn read(parts: &Parts, whole: bool) -> TokenStream {
    let last = parts.types.len().wrapping_sub(1);
    let read = parts.names.iter().zip(&parts.types).enumerate().map(|(n, (name, ty))| {
        if whole && n == last {
            quote_spanned!(ty.span()=> let #name: #ty = <#ty as ::recto::typed::Key>::into_owned(
                <#ty as ::recto::typed::Key>::decode(from)?);)
        } else {
            quote_spanned!(ty.span()=> let #name: #ty = <#ty as ::recto::typed::Key>::into_owned(
                <#ty as ::recto::typed::Key>::decode_part(from)?);)
        }
    });
    quote!(#(#read)*)
}

/// The first fields, as a tuple, are a prefix.
fn prefixes(input: &DeriveInput, parts: &Parts) -> TokenStream {
    let (ident, most) = (&input.ident, parts.types.len().saturating_sub(1).min(LONGEST_PREFIX));
    let prefixes = (1..=most).map(|len| {
        let (types, names) = (&parts.types[..len], &parts.names[..len]);
        quote! {
            #[automatically_derived]
            impl<'k> ::recto::typed::KeyPrefix<#ident>
                for (#(<#types as ::recto::typed::Key>::Arg<'k>,)*)
            {
                fn encode_prefix(self, out: &mut ::std::vec::Vec<u8>) {
                    let (#(#names,)*) = self;
                    #(<#types as ::recto::typed::Key>::encode_part(#names, out);)*
                }
            }
        }
    });
    quote!(#(#prefixes)*)
}
