/*
 * nginx computes the hash of a password at each request, which takes a worker tens of milliseconds where the hash is a good one. It
 * stays the one who finds a password right or wrong; what it found right is remembered for a while.
 *
 * Its handler is wrapped rather than told that it is "off": to `satisfy any`, somebody who was not asked is nobody who may pass.
 */

#include "sparrow.h"


static ngx_int_t
sparrow_auth_basic_handler(ngx_http_request_t *r)
{
    ngx_int_t              rc;
    sparrow_loc_conf_t    *slcf;
    sparrow_main_conf_t   *smcf;
    sparrow_credentials_t  credentials;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);
    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sparrow_module);

    /* The same function with which nginx's handler reads them. */
    if (slcf->passwords.len == 0 || ngx_http_auth_basic_user(r) != NGX_OK) {
        return smcf->auth_basic(r);
    }

    credentials.file = sparrow_bytes(&slcf->passwords);
    credentials.user = sparrow_bytes(&r->headers_in.user);
    credentials.password = sparrow_bytes(&r->headers_in.passwd);

    if (sparrow_passwords_contain(smcf->passwords, &credentials, ngx_current_msec)) {
        return NGX_OK;
    }

    rc = smcf->auth_basic(r);

    /* It was asked and found the password right: where it is not asked, it declines. */
    if (rc == NGX_OK) {
        sparrow_passwords_add(smcf->passwords, &credentials, ngx_current_msec);
    }

    return rc;
}


static void
sparrow_free_passwords(void *data)
{
    sparrow_passwords_free(data);
}


/*
 * sparrow_remember_passwords NAME; beside `auth_basic`, which has no variables, and `auth_basic_user_file`. What is remembered holds
 * for the name, so a file with another content has another one. No location within it inherits it, which may have another file.
 */
char *
sparrow_remember_passwords(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t            *value;
    ngx_pool_cleanup_t   *cln;
    sparrow_loc_conf_t   *slcf = conf;
    sparrow_main_conf_t  *smcf;

    if (slcf->passwords.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    if (value[1].len == 0) {
        return "has an empty name";
    }

    slcf->passwords = value[1];

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sparrow_module);
    if (smcf->passwords) {
        return NGX_CONF_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    /* Of this configuration: workers get a copy with nothing in it, each its own. */
    smcf->passwords = sparrow_passwords_new();
    if (smcf->passwords == NULL) {
        return "finds no random numbers";
    }

    cln->handler = sparrow_free_passwords;
    cln->data = smcf->passwords;

    return NGX_CONF_OK;
}


/* What the module has added to the phases of nginx; NULL if this nginx is built without it. */
static ngx_http_module_t *
sparrow_find_auth_basic(ngx_conf_t *cf)
{
    ngx_uint_t  i;

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (cf->cycle->modules[i]->type == NGX_HTTP_MODULE
            && ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_auth_basic_module") == 0)
        {
            return cf->cycle->modules[i]->ctx;
        }
    }

    return NULL;
}


/* Puts our handler in the place of the one of nginx, so that it keeps its turn among the others. */
ngx_int_t
sparrow_init_passwords(ngx_conf_t *cf)
{
    ngx_uint_t                  i, n;
    ngx_array_t                *handlers;
    ngx_http_module_t          *module;
    ngx_http_handler_pt        *handler;
    sparrow_main_conf_t        *smcf;
    ngx_http_core_main_conf_t  *cmcf;

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sparrow_module);
    module = sparrow_find_auth_basic(cf);
    if (smcf->passwords == NULL || module == NULL) {
        return NGX_OK;
    }

    /* nginx names it nowhere, but its module adds it once more if it is asked to, and that is all that it does. */
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    handlers = &cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers;
    n = handlers->nelts;

    if (module->postconfiguration(cf) != NGX_OK || handlers->nelts != n + 1) {
        return NGX_ERROR;
    }

    handlers->nelts = n;
    handler = handlers->elts;
    smcf->auth_basic = handler[n];

    for (i = 0; i < n; i++) {
        if (handler[i] == smcf->auth_basic) {
            handler[i] = sparrow_auth_basic_handler;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}
