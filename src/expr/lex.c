#include "expr/lex.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *spelling;
    enum mh_word word;
} signs[] =
    {
        /* longer ones before those that they begin with */
        {"<=", MH_WORD_AT_MOST},   {">=", MH_WORD_AT_LEAST}, {"==", MH_WORD_EQUAL}, {"!=", MH_WORD_UNEQUAL},
        {"&&", MH_WORD_AND},       {"||", MH_WORD_OR},       {"<", MH_WORD_LESS},   {">", MH_WORD_MORE},
        {"!", MH_WORD_NOT},        {"(", MH_WORD_OPEN},      {")", MH_WORD_CLOSE},  {"[", MH_WORD_OPEN_LIST},
        {"]", MH_WORD_CLOSE_LIST}, {",", MH_WORD_COMMA},
},
  names[] = {
      {"and", MH_WORD_AND},   {"or", MH_WORD_OR},       {"not", MH_WORD_NOT},     {"in", MH_WORD_IN},
      {"like", MH_WORD_LIKE}, {"LIKE", MH_WORD_LIKE},   {"true", MH_WORD_TRUE},   {"True", MH_WORD_TRUE},
      {"TRUE", MH_WORD_TRUE}, {"false", MH_WORD_FALSE}, {"False", MH_WORD_FALSE}, {"FALSE", MH_WORD_FALSE},
};

static void bad(struct mh_lex *lex, const char *problem)
{
    lex->word = MH_WORD_BAD;
    lex->problem = problem;
}

static bool is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static void read_name(struct mh_lex *lex)
{
    while (is_name(*lex->at))
        lex->at++;
    const size_t length = (size_t)(lex->at - lex->from);
    lex->word = MH_WORD_NAME;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].spelling) == length && memcmp(names[i].spelling, lex->from, length) == 0)
            lex->word = names[i].word;
}

static void read_real(struct mh_lex *lex)
{
    char *end;
    lex->real = strtod(lex->from, &end);
    lex->at = end;
    lex->word = MH_WORD_REAL;
    if (!isfinite(lex->real))
        bad(lex, "number out of range");
}

/* Digits, with a sign before them perhaps. strtod alone would take "inf" and "0x1p3" for numbers, too. */
static void read_number(struct mh_lex *lex)
{
    const char *digits = lex->from + (*lex->from == '-' || *lex->from == '+');
    const char *end = digits;
    while (isdigit((unsigned char)*end))
        end++;
    if (*end == '.' || *end == 'e' || *end == 'E') {
        read_real(lex);
    } else {
        char *stop;
        errno = 0;
        lex->whole = strtoll(lex->from, &stop, 10);
        lex->real = (double)lex->whole;
        lex->at = end;
        lex->word = MH_WORD_WHOLE;
        if (errno != 0)
            bad(lex, "integer out of range");
    }
    if (lex->word != MH_WORD_BAD && is_name(*lex->at))
        bad(lex, "letters after a number");
}

static void read_text(struct mh_lex *lex)
{
    const char quote = *lex->at++;
    while (*lex->at && *lex->at != quote)
        lex->at += lex->at[0] == '\\' && lex->at[1] ? 2 : 1;
    if (!*lex->at) {
        bad(lex, "text without an end");
        return;
    }
    lex->at++;
    lex->word = MH_WORD_TEXT;
}

static void read_sign(struct mh_lex *lex)
{
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        const size_t length = strlen(signs[i].spelling);
        if (strncmp(lex->at, signs[i].spelling, length) == 0) {
            lex->at += length;
            lex->word = signs[i].word;
            return;
        }
    }
    bad(lex, "a character that means nothing here");
}

static bool begins_number(const char *at)
{
    if (*at == '-' || *at == '+')
        at++;
    return isdigit((unsigned char)at[0]) || (at[0] == '.' && isdigit((unsigned char)at[1]));
}

void mh_lex_next(struct mh_lex *lex)
{
    while (isspace((unsigned char)*lex->at))
        lex->at++;
    lex->from = lex->at;
    if (!*lex->at)
        lex->word = MH_WORD_END;
    else if (begins_number(lex->at))
        read_number(lex);
    else if (is_name(*lex->at))
        read_name(lex);
    else if (*lex->at == '"' || *lex->at == '\'')
        read_text(lex);
    else
        read_sign(lex);
}

char *mh_lex_text(const struct mh_lex *lex)
{
    char *text = malloc((size_t)(lex->at - lex->from)), *end = text;
    if (!text)
        return NULL;
    for (const char *c = lex->from + 1; c < lex->at - 1; c++) {
        const char escaped = c[0] == '\\' ? c[1] : 0;
        if (escaped == 0 || escaped == '%' || escaped == '_') {
            *end++ = *c;
            continue;
        }
        *end++ = escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
        c++;
    }
    *end = 0;
    return text;
}
