/* cmocka and what its header needs before it. */
#ifndef MH_UNIT_CHECK_H
#define MH_UNIT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#endif
