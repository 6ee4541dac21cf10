//! What is to be encoded: fields in order, and for enums, variants by number.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Data, DeriveInput, Error, Expr, ExprLit, Fields, GenericParam, Generics, Ident, Lit, LitStr,
    Member, Result, Type, parse_quote,
};

/// The fields of a struct or of a variant.
pub struct Parts {
    pub members: Vec<Member>,
    /// What they are called where they are taken apart.
    pub names: Vec<Ident>,
    pub types: Vec<Type>,
}

const OWNED: &str = "what is read owns what it holds: `String` or `Vec<u8>` instead of a reference; \
                     tuples take references";

/// Refuses a field whose type can be known to be none: the compiler would say so in many words.
fn check(ty: &Type) -> Result<()> {
    let encodings = ["Pod", "PodSlice", "Postcard", "Json"];
    match ty {
        Type::Reference(_) => Err(Error::new_spanned(ty, OWNED)),
        Type::Path(path)
            if path.path.segments.last().is_some_and(|last| {
                !last.arguments.is_empty() && encodings.iter().any(|name| last.ident == name)
            }) =>
        {
            let what = "this is the encoding of a whole value, not the type of a field";
            Err(Error::new_spanned(ty, what))
        }
        _ => Ok(()),
    }
}

impl Parts {
    fn of(fields: &Fields) -> Result<Parts> {
        fields.iter().try_for_each(|field| check(&field.ty))?;
        let names = (0..fields.len()).map(|n| format_ident!("field_{n}")).collect();
        let members = fields.members().collect();
        let types = fields.iter().map(|field| field.ty.clone()).collect();
        Ok(Parts { members, names, types })
    }

    /// The fields as a pattern, and as an expression.
    pub fn braced(&self) -> TokenStream {
        let (members, names) = (&self.members, &self.names);
        quote!({ #(#members: #names),* })
    }
}

pub enum Shape {
    Struct(Parts),
    /// Variants with their numbers.
    Enum(Vec<(Ident, u8, Parts)>),
}

impl Shape {
    pub fn of(input: &DeriveInput) -> Result<Shape> {
        let lifetime = input.generics.lifetimes().next();
        if let Some(lifetime) = lifetime {
            return Err(Error::new_spanned(lifetime, OWNED));
        }
        match &input.data {
            Data::Struct(data) => Ok(Shape::Struct(Parts::of(&data.fields)?)),
            Data::Enum(data) => {
                let (mut variants, mut next) = (Vec::new(), 0);
                for variant in &data.variants {
                    if let Some((_, discriminant)) = &variant.discriminant {
                        next = number(discriminant)?;
                    }
                    let Ok(tag) = u8::try_from(next) else {
                        let what = "variants are stored as numbers from 0 to 255";
                        return Err(Error::new_spanned(variant, what));
                    };
                    variants.push((variant.ident.clone(), tag, Parts::of(&variant.fields)?));
                    next += 1;
                }
                if variants.is_empty() {
                    let what = "an enum without variants has no values to store";
                    return Err(Error::new_spanned(&input.ident, what));
                }
                Ok(Shape::Enum(variants))
            }
            Data::Union(_) => {
                Err(Error::new_spanned(&input.ident, "structs and enums only, no unions"))
            }
        }
    }
}

fn number(discriminant: &Expr) -> Result<u32> {
    match discriminant {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse(),
        other => Err(Error::new_spanned(other, "the number of a variant is written out, 0 to 255")),
    }
}

/// The name under which the type is stored.
pub fn name(input: &DeriveInput) -> Result<String> {
    let mut name = input.ident.to_string();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("recto")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("the only attribute is `name = \"...\"`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            if text.value().is_empty() {
                return Err(Error::new(text.span(), "a name has a letter at least"));
            }
            name = text.value();
            Ok(())
        })?;
    }
    Ok(name)
}

/// With a bound for each type parameter: that it is what the field types have to be, itself.
pub fn bounded(generics: &Generics, what: &TokenStream) -> Generics {
    let mut generics = generics.clone();
    let parameters: Vec<Ident> = generics.type_params().map(|t| t.ident.clone()).collect();
    let clause = generics.make_where_clause();
    for parameter in parameters {
        clause.predicates.push(parse_quote!(#parameter: #what<Owned = #parameter> + 'static));
    }
    generics
}

/// Whether it has parameters.
pub fn is_generic(generics: &Generics) -> bool {
    !generics.params.is_empty()
}

/// How a struct's name is put together from the names of its fields' types; that of an enum, whose
/// variants may become more, from its parameters.
pub fn type_name(
    name: &str,
    shape: &Shape,
    generics: &Generics,
    what: &TokenStream,
) -> TokenStream {
    let parts: Vec<TokenStream> = match shape {
        Shape::Struct(Parts { types, .. }) => {
            types.iter().map(|part| quote!(<#part as #what>::type_name())).collect()
        }
        _ if !is_generic(generics) => return quote!(::std::string::String::from(#name)),
        _ => generics
            .params
            .iter()
            .filter_map(|parameter| match parameter {
                GenericParam::Type(parameter) => {
                    let parameter = &parameter.ident;
                    Some(quote!(<#parameter as #what>::type_name()))
                }
                GenericParam::Const(parameter) => {
                    let parameter = &parameter.ident;
                    Some(quote!(::std::format!("{}", #parameter)))
                }
                GenericParam::Lifetime(_) => None,
            })
            .collect(),
    };
    quote! {{
        let parts: ::std::vec::Vec<::std::string::String> = ::std::vec![#(#parts),*];
        ::std::format!("{}({})", #name, parts.join(","))
    }}
}

/// The error for a number that no variant has.
pub fn no_variant(name: &str) -> TokenStream {
    quote! {
        ::core::result::Result::Err(::recto::Error::Decode {
            type_name: ::std::string::String::from(#name),
            detail: ::std::format!("no variant has the number {}", tag),
        })
    }
}
