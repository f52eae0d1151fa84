/* What the bindings cover: the whole C API of librados and librbd. */
#include <rados/librados.h>
#include <rbd/librbd.h>
