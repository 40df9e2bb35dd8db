/*
 * digests_msan.c - libcrypto is not instrumented, so MemorySanitizer does not see it write: these
 * stand before its functions and say what they have written.
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sanitizer/msan_interface.h>

/* What the linker's --wrap makes of a function: the real one, and ours in its place. */
#define WRAPPED(type, name, ...)     \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

WRAPPED(int, EVP_Q_digest, OSSL_LIB_CTX *, const char *, const char *, const void *, size_t,
        unsigned char *, size_t *);
WRAPPED(int, EVP_DigestFinal_ex, EVP_MD_CTX *, unsigned char *, unsigned int *);
WRAPPED(unsigned char *, HMAC, const EVP_MD *, const void *, int, const unsigned char *, size_t,
        unsigned char *, unsigned int *);
WRAPPED(int, EVP_DecodeBlock, unsigned char *, const unsigned char *, int);

/* It reads its configuration at first use, through functions that MemorySanitizer watches. */
__attribute__((constructor)) static void start_libcrypto(void)
{
    __msan_scoped_disable_interceptor_checks();
    EVP_MD_free(EVP_MD_fetch(NULL, "MD5", NULL));
    __msan_scoped_enable_interceptor_checks();
}

int __wrap_EVP_Q_digest(OSSL_LIB_CTX *library, const char *name, const char *properties,
                        const void *data, size_t length, unsigned char *digest, size_t *ret_length)
{
    size_t written = 0;
    __msan_check_mem_is_initialized(data, length);
    int result = __real_EVP_Q_digest(library, name, properties, data, length, digest, &written);
    __msan_unpoison(&written, sizeof written);
    __msan_unpoison(digest, written);
    if (ret_length)
        *ret_length = written;
    return result;
}

int __wrap_EVP_DigestFinal_ex(EVP_MD_CTX *context, unsigned char *digest, unsigned int *ret_length)
{
    unsigned int written = 0;
    int result = __real_EVP_DigestFinal_ex(context, digest, &written);
    __msan_unpoison(&written, sizeof written);
    __msan_unpoison(digest, written);
    if (ret_length)
        *ret_length = written;
    return result;
}

unsigned char *__wrap_HMAC(const EVP_MD *method, const void *key, int key_bytes,
                           const unsigned char *data, size_t length, unsigned char *digest,
                           unsigned int *ret_length)
{
    unsigned int written = 0;
    __msan_check_mem_is_initialized(data, length);
    unsigned char *result = __real_HMAC(method, key, key_bytes, data, length, digest, &written);
    __msan_unpoison(&written, sizeof written);
    __msan_unpoison(digest, written);
    if (ret_length)
        *ret_length = written;
    return result;
}

int __wrap_EVP_DecodeBlock(unsigned char *bytes, const unsigned char *text, int length)
{
    int written = __real_EVP_DecodeBlock(bytes, text, length);
    if (written > 0)
        __msan_unpoison(bytes, (size_t)written);
    return written;
}
