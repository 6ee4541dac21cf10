//! `#[derive(Value)]`.

use crate::shape::{Parts, Shape, bounded, name, no_variant, type_name};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Result, spanned::Spanned};

pub fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let (shape, name) = (Shape::of(input)?, name(input)?);
    let what = quote!(::recto::typed::Value);
    let ident = &input.ident;
    let generics = bounded(&input.generics, &what);
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let type_name = type_name(&name, &shape, &input.generics, &what);
    let (width, encode, decode) = (width(&shape), encoding(&shape), decoding(&shape, &name));
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::recto::typed::Value for #ident #arguments #bounds {
            type Arg<'a> = &'a Self;
            type Ref<'a> = Self;
            type Owned = Self;
            const WIDTH: ::core::option::Option<usize> = #width;

            fn type_name() -> ::std::string::String {
                #type_name
            }

            fn encode(value: &Self, out: &mut ::std::vec::Vec<u8>) -> ::recto::Result<()> {
                #encode
            }

            fn decode(bytes: &[u8]) -> ::recto::Result<Self> {
                #decode
            }

            fn decode_owned(bytes: &[u8]) -> ::recto::Result<Self> {
                <Self as ::recto::typed::Value>::decode(bytes)
            }

            fn arg(value: &Self) -> &Self {
                value
            }
        }
    })
}

/// The sum of the fields' lengths, where each has one.
fn width(shape: &Shape) -> TokenStream {
    match shape {
        Shape::Struct(Parts { types, .. }) => {
            let sum = types.iter().map(|ty| {
                quote! {
                    match <#ty as ::recto::typed::Value>::WIDTH {
                        ::core::option::Option::Some(width) => sum += width,
                        ::core::option::Option::None => break 'sum ::core::option::Option::None,
                    }
                }
            });
            quote! {
                'sum: {
                    #[allow(unused_mut)]
                    let mut sum = 0usize;
                    #(#sum)*
                    ::core::option::Option::Some(sum)
                }
            }
        }
        Shape::Enum(variants) if variants.iter().all(|(_, _, parts)| parts.types.is_empty()) => {
            quote!(::core::option::Option::Some(1))
        }
        Shape::Enum(_) => quote!(::core::option::Option::None),
    }
}

fn encoding(shape: &Shape) -> TokenStream {
    match shape {
        Shape::Struct(parts) => {
            let (fields, written) = (parts.braced(), written(parts));
            quote!(let Self #fields = value; #written ::core::result::Result::Ok(()))
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().map(|(variant, tag, parts)| {
                let (fields, written) = (parts.braced(), written(parts));
                quote!(Self::#variant #fields => { out.push(#tag); #written })
            });
            quote!(match value { #(#arms)* } ::core::result::Result::Ok(()))
        }
    }
}

fn written(parts: &Parts) -> TokenStream {
    let last = parts.types.len().wrapping_sub(1);
    let written = parts.names.iter().zip(&parts.types).enumerate().map(|(n, (name, ty))| {
        if n == last {
            quote_spanned!(ty.span()=> <#ty as ::recto::typed::Value>::encode(
                <#ty as ::recto::typed::Value>::arg(#name), out)?;)
        } else {
            quote_spanned!(ty.span()=> <#ty as ::recto::typed::Value>::encode_part(
                <#ty as ::recto::typed::Value>::arg(#name), out)?;)
        }
    });
    quote!(#(#written)*)
}

fn decoding(shape: &Shape, name: &str) -> TokenStream {
    match shape {
        Shape::Struct(parts) => {
            let (read, fields) = (read(parts, name), parts.braced());
            quote! {
                #[allow(unused_mut)]
                let mut rest = bytes;
                #read
                ::core::result::Result::Ok(Self #fields)
            }
        }
        Shape::Enum(variants) => {
            let arms = variants.iter().map(|(variant, tag, parts)| {
                let (read, fields) = (read(parts, name), parts.braced());
                quote!(#tag => { #read ::core::result::Result::Ok(Self::#variant #fields) })
            });
            let no_variant = no_variant(name);
            quote! {
                let mut rest = bytes;
                let tag = <u8 as ::recto::typed::Value>::decode(
                    <u8 as ::recto::typed::Value>::split(&mut rest)?)?;
                match tag { #(#arms)* _ => #no_variant }
            }
        }
    }
}

/// Reads the fields from `rest`; the last one is all that is left.
fn read(parts: &Parts, name: &str) -> TokenStream {
    let last = parts.types.len().wrapping_sub(1);
    let read = parts.names.iter().zip(&parts.types).enumerate().map(|(n, (name, ty))| {
        if n == last {
            quote_spanned!(ty.span()=> let #name: #ty =
                <#ty as ::recto::typed::Value>::decode_owned(rest)?;)
        } else {
            quote_spanned!(ty.span()=> let #name: #ty =
                <#ty as ::recto::typed::Value>::decode_owned(
                    <#ty as ::recto::typed::Value>::split(&mut rest)?)?;)
        }
    });
    let end = parts.types.is_empty().then(|| {
        quote! {
            if !rest.is_empty() {
                return ::core::result::Result::Err(::recto::Error::Decode {
                    type_name: ::std::string::String::from(#name),
                    detail: ::std::format!("{} bytes are left over", rest.len()),
                });
            }
        }
    });
    quote!(#(#read)* #end)
}
