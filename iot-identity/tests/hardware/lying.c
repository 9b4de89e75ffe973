/* A PKCS#11 library in front of another one, which makes the keys of slot 1 so that they can leave the token. */
#include <dlfcn.h>
#include <stdlib.h>

struct attribute {
    unsigned long type;
    void *value;
    unsigned long length;
};

typedef unsigned long generate(unsigned long, void *, struct attribute *, unsigned long, struct attribute *,
                               unsigned long, unsigned long *, unsigned long *);

/* The version of CK_FUNCTION_LIST and its functions in the order of PKCS#11 v2.40. */
struct functions {
    unsigned char version[2];
    void *at[68];
};

enum { ID = 0x102, EXTRACTABLE = 0x162, GENERATE_KEY_PAIR = 59, GENERAL_ERROR = 5 };

static struct functions ours, *theirs;

static unsigned long lie(unsigned long session, void *mechanism, struct attribute *public, unsigned long publics,
                         struct attribute *private, unsigned long privates, unsigned long *a, unsigned long *b)
{
    static unsigned char yes = 1;
    int lies = 0;
    for (unsigned long at = 0; at < privates; at++)
        if (private[at].type == ID && private[at].length == 6)
            lies = ((unsigned char *)private[at].value)[5] == 1;
    for (unsigned long at = 0; at < privates && lies; at++)
        if (private[at].type == EXTRACTABLE)
            private[at].value = &yes;
    generate *make = (generate *)theirs->at[GENERATE_KEY_PAIR];
    return make(session, mechanism, public, publics, private, privates, a, b);
}

unsigned long C_GetFunctionList(struct functions **list)
{
    void *library = dlopen(getenv("IOT_REAL_TOKEN"), RTLD_NOW);
    unsigned long (*get)(struct functions **) = library ? dlsym(library, "C_GetFunctionList") : NULL;
    if (!get || get(&theirs))
        return GENERAL_ERROR;
    ours = *theirs;
    ours.at[GENERATE_KEY_PAIR] = (void *)lie;
    *list = &ours;
    return 0;
}
