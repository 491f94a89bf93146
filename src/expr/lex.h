/* Words of an expression, for expr.c alone. */
#ifndef MH_EXPR_LEX_H
#define MH_EXPR_LEX_H

#include <stdint.h>

enum mh_word {
    MH_WORD_END,
    MH_WORD_BAD, /* no word of the language; mh_lex.problem says why */
    MH_WORD_NAME,
    MH_WORD_WHOLE,
    MH_WORD_REAL,
    MH_WORD_TEXT,
    MH_WORD_TRUE,
    MH_WORD_FALSE,
    MH_WORD_AND,
    MH_WORD_OR,
    MH_WORD_NOT,
    MH_WORD_IN,
    MH_WORD_LIKE,
    MH_WORD_LESS,
    MH_WORD_AT_MOST,
    MH_WORD_MORE,
    MH_WORD_AT_LEAST,
    MH_WORD_EQUAL,
    MH_WORD_UNEQUAL,
    MH_WORD_OPEN,
    MH_WORD_CLOSE,
    MH_WORD_OPEN_LIST,
    MH_WORD_CLOSE_LIST,
    MH_WORD_COMMA,
};

/* The word that `at` stood before when mh_lex_next was called; from..at is its spelling. */
struct mh_lex {
    const char *from, *at;
    enum mh_word word;
    int64_t whole;       /* MH_WORD_WHOLE, sign included */
    double real;         /* MH_WORD_REAL; MH_WORD_WHOLE too */
    const char *problem; /* MH_WORD_BAD */
};

void mh_lex_next(struct mh_lex *lex); /* at the end it stays there */

/* Resolves the backslashes of the MH_WORD_TEXT just read; owned by the caller. NULL: no memory. A backslash
 * before % and _ stays: `like` reads it. */
char *mh_lex_text(const struct mh_lex *lex);

#endif
